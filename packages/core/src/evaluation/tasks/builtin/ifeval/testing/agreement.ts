/** Our verdicts beside those of lm_eval's checks (parscale's evaluate/testing/ifeval_peer.py). */
import { judgeInstructions } from '../index.ts'

export interface PeerCase {
  readonly kind: string
  readonly fields: Readonly<Record<string, unknown>>
  readonly response: string
  readonly strict: 0 | 1
  readonly loose: 0 | 1
}

/**
 * All verdicts are equal but where the harness asks NLTK's model of English sentences (ours has lists of its own) and langdetect
 * (franc is another detector). Of text in capital letters only, langdetect sees what is a single letter, and is wrong by chance.
 */
const least: Readonly<Record<string, number>> = {
  'length_constraints:number_sentences': 0.91,
  'language:response_language': 0.95,
  'change_case:english_lowercase': 0.95,
  'change_case:english_capital': 0.75,
}

export const leastAgreement = (kind: string): number => least[kind] ?? 1

export function disagreements(cases: readonly PeerCase[]): PeerCase[] {
  return cases.filter(({ kind, fields, response, strict, loose }) => {
    const found = judgeInstructions({ instruction_id_list: [kind], kwargs: [fields] }, response)
    return found.prompt_level_strict_acc !== strict || found.prompt_level_loose_acc !== loose
  })
}
