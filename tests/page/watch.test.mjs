// What watch.js decides without a network. Run by test_watch.py with the node of the wheel.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { isTerminal, leavesGap, mergeRow } from '../../devstack/page/watch.js'

const known = { id: 'a', version: 4, status: 'processing', progress: 40, prompt: 'a long text', result: null }

test('the first row is taken as it is', () => {
  assert.deepEqual(mergeRow(null, known), known)
})

test('a change without the unchanged large columns does not erase them', () => {
  const merged = mergeRow(known, { id: 'a', version: 5, status: 'processing', progress: 60 })
  assert.equal(merged.prompt, 'a long text')
  assert.equal(merged.progress, 60)
})

test('an older change that comes late does nothing', () => {
  assert.equal(mergeRow(known, { ...known, version: 3, progress: 20 }), known)
})

test('a terminal row is not taken back by a late change', () => {
  const done = { ...known, version: 9, status: 'completed' }
  assert.equal(mergeRow(done, { ...known, version: 8 }).status, 'completed')
})

test('the same version may be read again and again', () => {
  assert.deepEqual(mergeRow(known, { ...known }), known)
})

test('a later clock does not make an older version newer', () => {
  const late = { ...known, version: 3, updated_at: '2999-01-01T00:00:00Z' }
  assert.equal(mergeRow(known, late), known)
})

test('a null of the newer version replaces a value', () => {
  assert.equal(mergeRow({ ...known, message: 'step 3' }, { id: 'a', version: 5, message: null }).message, null)
})

test('a partial change after a missed one leaves a gap', () => {
  assert.equal(leavesGap(known, { id: 'a', version: 6, progress: 80 }), true)
})

test('a partial change that follows at once leaves no gap', () => {
  assert.equal(leavesGap(known, { id: 'a', version: 5, progress: 80 }), false)
})

test('a whole row leaves no gap, however many changes were missed', () => {
  assert.equal(leavesGap(known, { ...known, version: 60 }), false)
})

test('only completed, failed and cancelled are terminal', () => {
  const terminal = ['queued', 'processing', 'completed', 'failed', 'cancelled'].filter((status) => isTerminal({ status }))
  assert.deepEqual(terminal, ['completed', 'failed', 'cancelled'])
  assert.equal(isTerminal(undefined), false)
})
