/** The hub's own client reads our cards: PyYAML and the checks of huggingface_hub, for texts of every kind. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { modelCard } from './model-card.ts'
import { nastyTexts, runSummary } from './testing/run-summary.ts'

const script = `
import json, sys
from huggingface_hub import ModelCard
cards = []
for path in sys.argv[1:]:
    data = ModelCard.load(path, ignore_metadata_errors=False).data
    first = data.eval_results[0]
    cards.append({ 'license': data.license, 'datasets': data.datasets, 'name': data.model_name, 'tags': data.tags,
                   'results': len(data.eval_results), 'metric': [first.metric_type, first.metric_value], 'of': first.dataset_name })
print(json.dumps(cards))`

it('reads every text as it was', () => {
  const folder = mkdtempSync(join(tmpdir(), 'parscale-card-'))
  // The client gives an empty name, dataset or licence a meaning of its own.
  const texts = nastyTexts.filter((text) => text !== '')
  try {
    const paths = texts.map((text, i) => {
      const path = join(folder, `${i}.md`)
      writeFileSync(path, modelCard(runSummary(text)))
      return path
    })
    const found = JSON.parse(execFileSync(pythonEnvironment('hub'), ['-c', script, ...paths], { encoding: 'utf8' }))
    const read = (text: string) => text.replace(/\p{Surrogate}/gu, '\ufffd')
    expect(found).toEqual(
      texts.map(read).map((text) => ({
        license: text,
        datasets: [text],
        name: text,
        tags: ['parscale', 'text-generation', 'recycle'],
        results: 7,
        metric: ['loss', 3.25],
        of: `held out of ${text}, ${text}/more`,
      })),
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})
