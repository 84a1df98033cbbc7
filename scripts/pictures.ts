/**
 * Draws the pictures of README.md into `docs/pictures/`.
 *
 *     npm run pictures                 streams.svg, law.svg, terminal.svg
 *     npm run pictures -- --still      without terminal.svg, which needs `script` (util-linux) and a built checkout
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { bootstrap, equivalentParameters, fitChart, fitLaw, laws, publishedPoints, renderSvg } from '@parscale/core/internal/law'
import { recordTerminal } from './record-terminal.ts'
import { streamsPicture } from './streams-picture.ts'

export const folder = fileURLToPath(new URL('../docs/pictures/', import.meta.url))

/** The published losses with the paper's Equation 5 through them; the title says what eight streams of 1.6B are worth. */
export function lawPicture(): string {
  const fit = fitLaw(laws.log, publishedPoints('stack-v2-python'))
  const thetas = bootstrap(fit, { count: 1000, seed: 0 })
  const { value } = equivalentParameters(fit, { N: 1.6e9, P: 8 })
  const title = `Eight streams of 1.6B parameters have the loss of one stream of ${(value / 1e9).toFixed(1)}B`
  return renderSvg([{ ...fitChart(fit, thetas), title }])
}

/** Drawn without running a model; a test holds the files to these. */
export const still: Readonly<Record<string, () => string>> = { 'streams.svg': streamsPicture, 'law.svg': lawPicture }

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(folder, { recursive: true })
  for (const [name, draw] of Object.entries(still)) writeFileSync(folder + name, draw())
  if (!process.argv.includes('--still'))
    await recordTerminal(
      [
        'npx parscale generate --prompt "The people of the United States" --p 8 --max-tokens 24 --seed 7',
        'npx parscale predict --n 1.6B --p 8',
        'npx parscale plan --device raspberry-pi-5 --time-per-token 200ms --formats q8_0,q4_k_m',
      ],
      `${folder}terminal.svg`,
    )
}
