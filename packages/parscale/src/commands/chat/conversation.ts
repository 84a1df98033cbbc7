/** A conversation whose P, system message and past can be changed between its turns. */
import type { Chat, TextModel } from '@parscale/core/internal/generation'
import type { ChatMessage } from '@parscale/core/internal/tokenizer'

export class Conversation {
  readonly text: TextModel
  #p: number
  #chat: Chat

  /** @throws checkpoint error when the model has no chat template; usage error for a P that it does not have */
  constructor(text: TextModel, { p = text.model.defaultP, system }: { p?: number | undefined; system?: string | undefined }) {
    this.text = text
    this.#p = checkedP(text, p)
    this.#chat = text.chat({ p, system })
  }

  /** Streams of the next turns. */
  get p(): number {
    return this.#p
  }

  get messages(): readonly ChatMessage[] {
    return this.#chat.messages
  }

  get cachedTokens(): number {
    return this.#chat.cachedTokens
  }

  get system(): string | undefined {
    const [first] = this.messages
    return first?.role === 'system' ? first.content : undefined
  }

  readonly send: Chat['send'] = (message, options) => this.#chat.send(message, options)

  /** Each P has keys and values of its own, so what was said is computed anew. @throws usage error for a P it does not have */
  async setP(p: number): Promise<void> {
    this.#p = checkedP(this.text, p)
    await this.#reopen(this.messages)
  }

  /** Undefined: none. */
  async setSystem(system: string | undefined): Promise<void> {
    const turns = this.messages.filter(({ role }) => role !== 'system')
    await this.#reopen(system === undefined ? turns : [{ role: 'system', content: system }, ...turns])
  }

  /** Forgets the turns; the system message stays. */
  async clear(): Promise<void> {
    await this.#reopen(this.messages.filter(({ role }) => role === 'system'))
  }

  /** Goes on with a conversation that was had before. */
  async restore(messages: readonly ChatMessage[]): Promise<void> {
    await this.#reopen(messages)
  }

  async #reopen(messages: readonly ChatMessage[]): Promise<void> {
    await this.#chat.close()
    this.#chat = this.text.chat({ p: this.#p })
    this.#chat.messages.push(...messages)
  }
}

function checkedP(text: TextModel, p: number): number {
  text.model.streamSet(p)
  return p
}
