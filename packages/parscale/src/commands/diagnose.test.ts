/** Diagnosis of streams as a process. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { byteModel, fixturesFolder, readFixture } from '../../../core/src/testing/fixtures.ts'
import { parscale } from '../testing/cli.ts'
import { runHere } from '../testing/run-here.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-diagnose-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('parscale diagnose', () => {
  const golden = `${fixturesFolder}goldens/parscale-p4`

  it("prints JSON with the reference's loss, and draws", async () => {
    const { expected } = await readFixture('goldens/parscale-p4')
    const plot = join(folder, 'streams.svg')
    const { code, stdout } = await parscale(['diagnose', golden, '--ids', expected.loss!.ids.join(), '--json', '--plot', plot])
    expect(code).toBe(0)
    const { losses, tokens, p } = JSON.parse(stdout)
    expect([p, tokens, losses.aggregate]).toEqual([4, 12, expect.closeTo(expected.loss!.value, 5)])
    expect(readFileSync(plot, 'utf8')).toMatch(/^<svg [\s\S]*Losses[\s\S]*Pairs of streams[\s\S]*<\/svg>\n$/)
  })

  it('reads many texts as one, each from its own beginning', async () => {
    const file = join(folder, 'texts.jsonl')
    writeFileSync(
      file,
      ['The quick brown fox', 'a', 'jumps over the lazy dog.'].map((text) => `${JSON.stringify({ text })}\n`).join(''),
    )
    const json = async (...args: string[]) =>
      JSON.parse((await runHere(['diagnose', byteModel, '--json', ...args], process.env)).stdout)
    const together = await json('--jsonl', file)
    const [first, second] = [await json('--text', 'The quick brown fox'), await json('--text', 'jumps over the lazy dog.')]
    expect(together.tokens).toBe(first.tokens + second.tokens)
    const mean = (first.losses.aggregate * first.tokens + second.losses.aggregate * second.tokens) / together.tokens
    expect(together.losses.aggregate).toBeCloseTo(mean, 5)
    expect((await json('--jsonl', file, '--tokens', '10')).tokens).toBe(9)
  })

  it('shows a text file as tables', async () => {
    const text = join(folder, 'text.txt')
    writeFileSync(text, 'The quick brown fox jumps over the lazy dog.')
    const { code, stdout } = await parscale(['diagnose', byteModel, '--data', text, '--tokens', '20'])
    expect(code).toBe(0)
    expect(stdout).toContain('P = 8, weights bfloat16, 19 tokens predicted')
    for (const line of [
      /^stream 8 alone +\d/m,
      /^without stream 1 +\d/m,
      /^stream 2 +[\d.]+ +- /m,
      /^entropy of the weights: 0\.\d+ of ln 8/m,
    ])
      expect(stdout).toMatch(line)
  })

  it.each([
    ['a plain model', ['--ids', '1,2,3'], 'this model has one stream (P = 1), so there are no streams to compare', 'qwen2-p1'],
    ['one stream of several', ['--ids', '1,2,3', '--p', '1'], 'P = 1 has no streams to compare; choose P = 4', 'parscale-p4'],
    ['too short a text', ['--ids', '1,2'], 'a text of at least 3 tokens is needed, got 2', 'parscale-p4'],
    ['no text', [], 'give --data, --text or --ids', 'parscale-p4'],
  ])('refuses %s with exit code 2', async (_, args, message, model) => {
    const plot = join(folder, 'none.svg')
    const { code, stdout, stderr } = await parscale(['diagnose', `${fixturesFolder}goldens/${model}`, ...args, '--plot', plot])
    expect([code, stdout, existsSync(plot)]).toEqual([2, '', false])
    expect(stderr).toContain(message)
  })
})
