#!/bin/sh
# Run by the image's entrypoint before nginx: a renewed certificate is read twice a day.
(while :; do sleep 12h; nginx -s reload; done) &
