/**
 * What every engine must keep, whatever steps its rows. Run by core over graphs and by each package that brings a Decoder of
 * its own. What an engine does not run is named by its `refusal`, and the contract checks that it is refused in those words.
 */
import { describe } from 'vitest'
import type { EngineKind } from './engine-kind.ts'
import { foldedContract } from './folded-contract.ts'
import { historiesContract } from './histories-contract.ts'
import { kvTypesContract } from './kv-types-contract.ts'
import { mixturesContract } from './mixtures-contract.ts'
import { optionsContract } from './options-contract.ts'
import { schedulerContract } from './scheduler-contract.ts'
import { sequencesContract } from './sequences-contract.ts'
import { textsContract } from './texts-contract.ts'

export function engineContract(name: string, kind: EngineKind): void {
  describe(name, () => {
    describe('sequences', () => sequencesContract(kind))
    describe('choices of streams', () => optionsContract(kind))
    describe('streams as models of their own', () => foldedContract(kind))
    describe('random histories', () => historiesContract(kind))
    describe('requests that share an engine', () => schedulerContract(kind))
    describe('random mixtures of requests', () => mixturesContract(kind))
    describe('texts that are read together', () => textsContract(kind))
    describe('narrower caches', () => kvTypesContract(kind))
  })
}
