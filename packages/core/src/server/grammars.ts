/** What requests demand, as grammars of generation/constrain. Requests that demand the same share one, with what was found out about it. */
import {
  type Grammar,
  jsonObjectGrammar,
  regexGrammar,
  schemaGrammar,
  type TextModel,
  TokenGrammar,
  TokenVocabulary,
  toolGrammar,
} from '../generation/index.ts'
import type { Constrain, Demand } from './context.ts'

/** Grammars of one model that are kept, and the bytes of masks of each. */
const grammarsKept = 16
const maskBytes = 8 * 2 ** 20
/** Steps of compilation, in which no other request is served: about a tenth of a second. */
const work = 1_000_000

interface Known {
  readonly vocabulary: TokenVocabulary
  readonly grammars: Map<string, TokenGrammar>
}

export function grammarConstraints(): Constrain {
  const models = new WeakMap<TextModel, Known>()
  /** Of the prompts of one request, which share a demand, it is spelled once. */
  const keys = new WeakMap<Demand, string>()
  let last: Promise<unknown> = Promise.resolve()

  function grammarFor(text: TextModel, demand: Demand, key: string): TokenGrammar {
    let known = models.get(text)
    if (!known) {
      const vocabulary = new TokenVocabulary(text.tokenizer, { size: text.model.config.vocabSize, endIds: text.stopTokenIds })
      known = { vocabulary, grammars: new Map() }
      models.set(text, known)
    }
    const { vocabulary, grammars } = known
    const grammar = grammars.get(key) ?? new TokenGrammar(grammarOf(demand), vocabulary, { cacheBytes: maskBytes })
    // The oldest goes first: what is used moves to the end.
    grammars.delete(key)
    grammars.set(key, grammar)
    if (grammars.size > grammarsKept) grammars.delete(grammars.keys().next().value!)
    return grammar
  }

  return async (text, demand) => {
    const key = keys.get(demand) ?? JSON.stringify(demand)
    keys.set(demand, key)
    if (!models.get(text)?.grammars.has(key)) {
      // One after another, and others are served between two of them.
      const turn = last.then(() => new Promise((resolve) => setTimeout(resolve, 0)))
      last = turn
      await turn
    }
    return grammarFor(text, demand, key).constraint()
  }
}

function grammarOf(demand: Demand): Grammar {
  switch (demand.kind) {
    case 'json':
      return jsonObjectGrammar()
    case 'schema':
      // As OpenAI's API gives properties.
      return schemaGrammar(demand.schema, { ordered: true, work })
    case 'regex':
      return regexGrammar(demand.pattern, { work })
    case 'calls':
      return toolGrammar({ ...demand, choice: 'required', ordered: true, work })
  }
}
