/** How probable a text is, token by token: `@parscale/core/evaluation` over an engine. */
import { scoreIds } from '@parscale/core/evaluation'
import { loadTextModel } from 'parscale'

const text = await loadTextModel()
const ids = text.tokenizer.encode('The people of the United States')
for (const p of text.model.availableP) {
  const { perplexity, logProbabilities } = await scoreIds(text.engine, ids, { p })
  console.log(`P = ${p}: perplexity ${perplexity!.toFixed(1)}`, logProbabilities.map((x) => x?.toFixed(2) ?? '-').join(' '))
}
await text.dispose()
