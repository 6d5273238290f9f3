"""What a session costs in the queue, beside other queues and a bare loop, interleaved in one run."""
