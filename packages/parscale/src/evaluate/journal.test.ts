import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Journal } from './journal.ts'

const head = { model: 'a', weights: 'float32', seed: 1 }

let out: string
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), 'parscale-journal-'))
})
afterEach(() => rmSync(out, { recursive: true }))

it('lets one evaluation into a folder at a time', async () => {
  const first = await Journal.open(out, head, false)
  for (const resume of [true, false])
    await expect(Journal.open(out, head, resume)).rejects.toThrow(
      `--out ${out}: process ${process.pid} on ${hostname()} is evaluating into it; wait for it, stop it, or choose another folder`,
    )
  await first.close()
  const second = await Journal.open(out, head, true)
  await second.close()
  expect(readdirSync(out)).toEqual(['answers.jsonl'])
})

it('takes over from a process that was killed', async () => {
  writeFileSync(join(out, 'eval.lock'), JSON.stringify({ id: 'gone', pid: 2 ** 22 + 1, host: hostname() }))
  const journal = await Journal.open(out, head, false)
  await journal.close()
  expect(readdirSync(out)).toEqual(['answers.jsonl'])
})

it('lets a folder go that it refuses', async () => {
  const first = await Journal.open(out, head, false)
  await first.close()
  await expect(Journal.open(out, head, false)).rejects.toThrow('holds answers already')
  await expect(Journal.open(out, { ...head, model: 'b' }, true)).rejects.toThrow('its answers are of model a, not b')
  expect(readdirSync(out)).toEqual(['answers.jsonl'])
})
