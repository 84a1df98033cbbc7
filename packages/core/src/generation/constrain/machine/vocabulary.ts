/** A model's tokens as the machine needs them: their bytes as a tree, and the ones that are no text. */
import { usageError } from '../../../errors.ts'
import type { Tokenizer } from '../../../tokenizer/types.ts'
import type { ByteAutomaton } from '../automata/byte-automaton.ts'
import { finished, type MaskBudget, type Pieces } from '../limits.ts'
import { anyString } from '../schema/strings.ts'
import { type TokenTrie, tokenTrie } from './token-trie.ts'
import { bytesOfWalk, type Walk, walk } from './walk.ts'

export interface VocabularyOptions {
  /** Rows of the model's output, V; default: the tokenizer's. */
  readonly size?: number
  /** Tokens that end a text; at least one. Default: the tokenizer's. */
  readonly endIds?: readonly number[]
  /** Bytes of what is kept of walks over the tree. Default 64 MiB. */
  readonly cacheBytes?: number
}

export class TokenVocabulary {
  readonly size: number
  readonly endIds: readonly number[]
  readonly trie: TokenTrie
  /** Added tokens by their text. */
  readonly added: ReadonlyMap<string, { readonly id: number; readonly isSpecial: boolean }>
  readonly addedById: ReadonlyMap<number, { readonly text: string; readonly isSpecial: boolean }>
  readonly #bytesOf: (id: number) => Uint8Array | undefined
  readonly #cacheBytes: number
  readonly #walks = new Map<string, { readonly walk: Walk; readonly automaton: number }>()
  #walkBytes = 0

  /**
   * @param trie where it was made in pieces, see vocabularyPieces
   * @throws usage error where no token ends a text
   */
  constructor(tokenizer: Tokenizer, options: VocabularyOptions = {}, trie = finished(triePieces(tokenizer, options))) {
    const { size = tokenizer.vocabSize, endIds = tokenizer.eosTokenIds, cacheBytes = 64 * 2 ** 20 } = options
    if (endIds.length === 0)
      throw usageError('constrained output needs a token that ends the text; name one in endIds', { flag: 'endIds' })
    this.size = size
    this.endIds = endIds
    this.#cacheBytes = cacheBytes
    const added = new Map<string, { id: number; isSpecial: boolean }>()
    const addedById = new Map<number, { text: string; isSpecial: boolean }>()
    for (const { id, content, isSpecial } of tokenizer.addedTokens) {
      added.set(content, { id, isSpecial })
      addedById.set(id, { text: content, isSpecial })
    }
    this.added = added
    this.addedById = addedById
    this.#bytesOf = textBytes(tokenizer, endIds)
    this.trie = trie
  }

  /** Undefined for added tokens and those that end a text. */
  bytesOf(id: number): Uint8Array | undefined {
    return this.#bytesOf(id)
  }

  /**
   * Tokens that an automaton takes from a state, from a node of the tree on.
   *
   * @param whole without parts of another walk
   */
  *walk(automaton: ByteAutomaton, state: number, node: number, budget: MaskBudget, whole = false): Pieces<Walk> {
    const key = `${automaton.id},${state},${node},${whole}`
    const known = this.#walks.get(key)
    if (known) {
      // The oldest goes first: what is used moves to the end.
      this.#walks.delete(key)
      this.#walks.set(key, known)
      return known.walk
    }
    const anything =
      automaton.free && automaton !== anyString() && !whole ? yield* this.walk(anyString(), 0, node, budget, true) : undefined
    const found = yield* walk(this.trie, automaton, state, node, budget, anything)
    // Another text may have made it meanwhile.
    this.#forget(key)
    this.#walks.set(key, { walk: found, automaton: automaton.id })
    this.#walkBytes += bytesOfWalk(found)
    for (const oldest of this.#walks.keys()) {
      if (this.#walkBytes <= this.#cacheBytes || oldest === key) break
      this.#forget(oldest)
    }
    return found
  }

  /** Bytes of walks that are kept. */
  get walkBytes(): number {
    return this.#walkBytes
  }

  /** Forgets walks of automata that nobody asks for any more; who does all the same has them made again. */
  forget(automata: ReadonlySet<number>): void {
    for (const [key, { automaton }] of this.#walks) if (automata.has(automaton)) this.#forget(key)
  }

  #forget(key: string): void {
    const known = this.#walks.get(key)
    if (!known) return
    this.#walks.delete(key)
    this.#walkBytes -= bytesOfWalk(known.walk)
  }
}

/** The same in pieces, for a thread that serves others in between. */
export function* vocabularyPieces(tokenizer: Tokenizer, options: VocabularyOptions = {}): Pieces<TokenVocabulary> {
  return new TokenVocabulary(tokenizer, options, yield* triePieces(tokenizer, options))
}

const triePieces = (tokenizer: Tokenizer, { size = Infinity, endIds }: VocabularyOptions): Pieces<TokenTrie> =>
  tokenTrie(Math.min(size, tokenizer.vocabSize), textBytes(tokenizer, endIds ?? tokenizer.eosTokenIds))

/** Bytes of tokens that are text: those that are added or end a text are not. */
function textBytes(tokenizer: Tokenizer, endIds: readonly number[]): (id: number) => Uint8Array | undefined {
  const others = new Set([...tokenizer.addedTokens.map(({ id }) => id), ...endIds])
  return (id) => (others.has(id) ? undefined : tokenizer.tokenBytes(id))
}
