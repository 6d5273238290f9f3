// Plays the scenario in SCENARIO and prints the transcript as JSON.

import { createRequire } from 'node:module'

import { play } from './player.mjs'

const { createClient } = createRequire(new URL('../../devstack/page/package.json', import.meta.url))('@supabase/supabase-js')
console.log(JSON.stringify(await play(createClient, JSON.parse(process.env.SCENARIO))))
process.exit() // the client keeps its socket until the server closes it for silence, a minute later
