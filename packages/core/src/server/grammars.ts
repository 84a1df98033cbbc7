/** What requests demand, as grammars of generation/constrain. Requests that demand the same share one, with what was found out about it. */
import { isParscaleError, unsupportedError } from '../errors.ts'
import {
  type Grammar,
  inTurns,
  type Pieces,
  regexPieces,
  schemaPieces,
  type TextModel,
  TokenGrammar,
  type TokenVocabulary,
  type ToolOptions,
  toolPieces,
  vocabularyPieces,
} from '../generation/index.ts'
import { unlessAborted } from '../signals.ts'
import type { Constrain, Demand, FormatDemand } from './context.ts'
import { Recent } from './recent.ts'

/** Grammars of one model that are kept, with what was found out about them, and of that the masks of each. */
const kept = { entries: 16, bytes: 64 * 2 ** 20 }
const maskBytes = 8 * 2 ** 20
/** Passes over the vocabulary, which they share. */
const walkBytes = 32 * 2 ** 20
/** Refusals, so that the same schema is not tried again. */
const refusalsKept = { entries: 256, bytes: 8 * 2 ** 20, bytesOf: (message: string) => 2 * message.length }

/** A grammar that is being compiled, for all who wait for it. */
interface Compiling {
  readonly grammar: Promise<TokenGrammar>
  waiting: number
}

interface Known {
  readonly vocabulary: Promise<TokenVocabulary>
  readonly compiling: Map<string, Compiling>
  readonly grammars: Recent<TokenGrammar>
  /** What each says. An error itself holds all that its stack saw, megabytes of a large automaton. */
  readonly refusals: Recent<string>
}

export function grammarConstraints(): Constrain {
  const models = new WeakMap<TextModel, Known>()
  /** Of the prompts of one request, which share a demand, it is spelled once. */
  const keys = new WeakMap<Demand, string>()

  function knownOf(text: TextModel): Known {
    let known = models.get(text)
    if (!known) {
      const options = { size: text.model.config.vocabSize, endIds: text.stopTokenIds, cacheBytes: walkBytes }
      const vocabulary = inTurns(vocabularyPieces(text.tokenizer, options))
      // It may fail before anybody waits for it, or when nobody does any more.
      vocabulary.catch(() => {})
      const grammars: Recent<TokenGrammar> = new Recent({
        ...kept,
        bytesOf: ({ bytes }) => bytes,
        dropped: (grammar) => forgetWalks(grammar, grammars.values()),
      })
      known = { vocabulary, compiling: new Map(), grammars, refusals: new Recent(refusalsKept) }
      models.set(text, known)
    }
    return known
  }

  function compile({ vocabulary, compiling, grammars, refusals }: Known, demand: Demand, key: string): Compiling {
    const started: Compiling = {
      waiting: 0,
      grammar: inTurns(grammarPieces(demand), () => started.waiting > 0)
        .then(async (grammar) => new TokenGrammar(grammar, await vocabulary, { cacheBytes: maskBytes }))
        .finally(() => compiling.delete(key)),
    }
    started.grammar.then(
      (grammar) => grammars.set(key, grammar),
      // Other failures are not the schema's: a vocabulary without an end, say.
      (error) => {
        if (isParscaleError(error) && error.kind === 'unsupported') refusals.set(key, error.message)
      },
    )
    compiling.set(key, started)
    return started
  }

  return async (text, demand, signal) => {
    const key = keys.get(demand) ?? JSON.stringify(demand)
    keys.set(demand, key)
    const known = knownOf(text)
    const refusal = known.refusals.get(key)
    if (refusal !== undefined) throw unsupportedError(refusal)
    const found = known.grammars.get(key)
    if (found) return found.constraint()
    const compiling = known.compiling.get(key) ?? compile(known, demand, key)
    compiling.waiting++
    try {
      return (await unlessAborted(compiling.grammar, signal)).constraint()
    } finally {
      // What nobody waits for any more is given up.
      if (--compiling.waiting === 0) known.compiling.delete(key)
    }
  }
}

/** Of automata that no other grammar reads texts with: nobody asks for them again. */
function forgetWalks({ vocabulary, automata }: TokenGrammar, others: Iterable<TokenGrammar>): void {
  const alone = new Set(automata)
  for (const other of others) for (const id of other.automata) alone.delete(id)
  vocabulary.forget(alone)
}

function grammarPieces(demand: Demand): Pieces<Grammar> {
  switch (demand.kind) {
    case 'json':
      return schemaPieces({ type: 'object' })
    case 'schema':
      // As OpenAI's API gives properties.
      return schemaPieces(demand.schema, { ordered: true })
    case 'regex':
      return regexPieces(demand.pattern)
    case 'calls':
      if (!demand.otherwise) return toolPieces({ ...demand, choice: 'required', ordered: true })
      return toolPieces({ ...demand, choice: 'auto', answer: answerOf(demand.otherwise), ordered: true })
  }
}

function answerOf(format: FormatDemand): NonNullable<ToolOptions['answer']> {
  if (format.kind === 'regex') return format
  return { schema: format.kind === 'json' ? { type: 'object' } : format.schema }
}
