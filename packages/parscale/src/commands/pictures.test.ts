/** What `--plot` writes, drawn by a renderer: nothing is blank, every colour of the legend is to be seen, and names are those of the tables. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { grey, palette } from '@parscale/core/internal/law'
import { Resvg } from '@resvg/resvg-js'
import { afterAll, describe, expect, it } from 'vitest'
import { runHere } from '../testing/run-here.ts'

const folder = mkdtempSync(join(tmpdir(), 'parscale-pictures-'))
afterAll(() => rmSync(folder, { recursive: true }))
const text = join(folder, 'text.txt')
writeFileSync(text, 'We, the people of the United States, in order to form a more perfect union. '.repeat(6))

const commands: Readonly<Record<string, string>> = {
  fit: 'fit --dataset stack-v2-python --bootstrap 20',
  plan: 'plan --device raspberry-pi-5 --memory 2GiB',
  'plan --figure 4': 'plan --figure 4',
  diagnose: `diagnose --data ${text} --tokens 60`,
  bench: 'bench --p 1,2 --bits 8,4 --context 8 --prompt 4 --steps 2 --rounds 1',
}

describe.each(Object.keys(commands))('%s', (name) => {
  it('draws a picture in which everything named is seen', async () => {
    const file = join(folder, `${name.replaceAll(' ', '')}.svg`)
    const { code, stdout, stderr } = await runHere([...commands[name]!.split(' '), '--plot', file], process.env)
    expect(code, stderr).toBe(0)
    const svg = readFileSync(file, 'utf8')
    const used = [...palette, grey].filter((color) => svg.includes(color))
    expect(used.length).toBeGreaterThan(0)
    const seen = colorsOf(svg)
    expect(used.filter((color) => !seen.has(color))).toEqual([])
    if (name === 'diagnose')
      for (const words of ['average of hidden states', 'average of probabilities', 'aggregate', 'mean weight', 'leads']) {
        expect(svg).toContain(`>${words}</text>`)
        expect(stdout).toContain(words)
      }
    if (name === 'plan') {
      const best = /best: N = (\S+), P = (\d+), (\w+):/.exec(stdout)!
      expect(svg).toContain(`>best: ${best[1]}, P = ${best[2]}, ${best[3]}</text>`)
      expect(svg).toContain('>budget, 2.000 GiB</text>')
    }
  })
})

/** Colours of the pixels, twice as large as the picture says, so that thin lines have pixels of their own. */
function colorsOf(svg: string): Set<string> {
  const { pixels } = new Resvg(svg, { fitTo: { mode: 'zoom', value: 2 } }).render()
  const colors = new Set<string>()
  for (let at = 0; at < pixels.length; at += 4) colors.add(`#${pixels.subarray(at, at + 3).toString('hex')}`)
  return colors
}
