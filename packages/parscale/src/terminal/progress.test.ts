import { expect, test } from 'vitest'
import { createProgress, formatAmount, formatSeconds, progressLine } from './progress.ts'

test('a line shows bar, share, amounts, rate and time left', () => {
  const line = progressLine({ label: 'pull', unit: 'B', done: 250e6, total: 1e9, note: 'model.safetensors', rate: 50e6 })
  expect(line).toBe('pull  [#####---------------]  25%  250 MB/1 GB  50 MB/s  ETA 0:15  model.safetensors')
})

test('without a total there is no bar and no estimate', () => {
  expect(progressLine({ label: 'score', unit: 'tokens', done: 12, total: undefined, note: undefined, rate: 4 })).toBe(
    'score  12 tokens  4 tokens/s',
  )
})

test('whole fields are dropped, the loss last of all', () => {
  const note = ['loss 5.123', '12.3k tok/s', '29 GFLOP/s']
  const state = { label: 'training', unit: 'steps', done: 197, total: 200, note, rate: 3.2 }
  expect([120, 80, 60, 40, 24, 12, 6].map((width) => progressLine(state, width - 1))).toEqual([
    'training  loss 5.123  [###################-]  98%  197/200  3.2 steps/s  ETA 0:01  12.3k tok/s  29 GFLOP/s',
    'training  loss 5.123  [###################-]  98%  197/200  ETA 0:01',
    'training  loss 5.123  98%  197/200  ETA 0:01',
    'training  loss 5.123  98%  ETA 0:01',
    'training  loss 5.123',
    'loss 5.123',
    '',
  ])
})

test('what is written beside a bar takes its line away, and the next update draws it again', () => {
  const written: string[] = []
  const progress = createProgress({ label: 'x', write: (text) => written.push(text), columns: () => 40 })
  progress.update(1, 2)
  progress.hide?.()
  progress.update(2, 2)
  expect(written).toHaveLength(3)
  expect(written[1]).toBe('\r\u001b[2K')
})

test('redraws at most ten times a second and counts only what was done since the start', () => {
  const written: string[] = []
  let clockMs = 0
  const progress = createProgress({ label: 'x', write: (text) => written.push(text), columns: () => 80, now: () => clockMs })
  progress.update(500, 1000)
  for (clockMs = 1; clockMs < 100; clockMs++) progress.update(510, 1000)
  expect(written).toHaveLength(1)
  clockMs = 1000
  progress.update(600, 1000)
  expect(written).toHaveLength(2)
  expect(written[1]).toContain('100/s  ETA 0:04')
})

test('the line never wraps, and end leaves only the note', () => {
  const written: string[] = []
  const progress = createProgress({ label: 'a'.repeat(200), write: (text) => written.push(text), columns: () => 40 })
  progress.update(1, 2)
  expect(written[0]?.replace('\r\u001b[2K', '')).toHaveLength(39) // the label alone, cut
  progress.end()
  expect(written[1]).toBe('\r\u001b[2K')
})

test('end clears the line once, and only if there is one: what comes after it on the terminal stays', () => {
  const written: string[] = []
  const make = () => createProgress({ label: 'x', write: (text) => written.push(text), columns: () => 40 })
  make().end()
  expect(written).toEqual([])
  const drawn = make()
  drawn.update(1, 2)
  drawn.end()
  drawn.end()
  expect(written.slice(1)).toEqual(['\r\u001b[2K'])
})

test('amounts keep three figures, seconds read as a clock', () => {
  expect([0, 999, 1000, 1234567, 999_999_999].map((amount) => formatAmount(amount, 'B'))).toEqual([
    '0 B',
    '999 B',
    '1 kB',
    '1.2 MB',
    '1.0 GB',
  ])
  expect([0.2, 75, 3675].map(formatSeconds)).toEqual(['0:01', '1:15', '1:01:15'])
})
