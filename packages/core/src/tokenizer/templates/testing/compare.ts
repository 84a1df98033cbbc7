/** Our rendering beside transformers'. */

import { isParscaleError } from '../../../errors.ts'
import { aliasReasoning } from '../chat-variables.ts'
import { compileTemplate } from '../compiled-template.ts'
import type { PeerAnswer, Rendering } from './peer.ts'

export type Outcome =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'refused' | 'unsupported' | 'limit' | 'crash'; readonly message: string }

export function renderHere({ template, variables, now }: Rendering): Outcome {
  try {
    const given = {
      tools: null,
      documents: null,
      ...variables,
      messages: aliasReasoning((variables.messages ?? []) as unknown[]),
    }
    return { kind: 'text', text: compileTemplate(template).render({ given }, () => new Date(now * 1000)).value }
  } catch (error) {
    if (!isParscaleError(error))
      return { kind: 'crash', message: error instanceof Error ? (error.stack ?? error.message) : String(error) }
    const kind =
      error.kind === 'unsupported' ? 'unsupported' : error.message.startsWith('chat template: stopped') ? 'limit' : 'refused'
    return { kind, message: error.message }
  }
}

export type Verdict = 'equal' | 'both refuse' | 'refused by name' | 'stopped' | 'different'

export function judge(here: Outcome, there: PeerAnswer): Verdict {
  if (here.kind === 'unsupported') return 'refused by name'
  if (here.kind === 'limit') return 'error' in there ? 'both refuse' : 'stopped'
  if (here.kind === 'text' && 'text' in there) return here.text === there.text ? 'equal' : 'different'
  return here.kind === 'refused' && 'error' in there ? 'both refuse' : 'different'
}
