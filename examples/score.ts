/** How probable a text is, token by token: `@parscale/core/evaluation` over an engine. */

import { scoreIds } from '@parscale/core/evaluation'
import { Engine } from '@parscale/core/generation'
import { loadModel } from 'parscale'

const { model, close } = await loadModel()
for (const p of model.availableP) {
  const { perplexity, logProbabilities } = await scoreIds(new Engine(model), [72, 101, 108, 108, 111], { p })
  console.log(`P = ${p}: perplexity ${perplexity!.toFixed(1)}`, logProbabilities.map((x) => x?.toFixed(2) ?? '-').join(' '))
}
await model.dispose()
await close() // the checkpoint's files
