/** Workers in one process: messages are copied from one to the other. */
import type { Message, Workers } from '../training/workers/workers.ts'

export function memoryWorkers(size: number): Workers[] {
  const arrived = new Map<string, Message[]>()
  const awaited = new Map<string, ((message: Message) => void)[]>()
  const at = <T>(map: Map<string, T[]>, key: string) => map.get(key) ?? map.set(key, []).get(key)!
  return Array.from(
    { length: size },
    (_, rank): Workers => ({
      rank,
      size,
      async send(to, tag, message) {
        const key = `${rank} ${to} ${tag}`
        const copy = message.slice()
        const waiting = at(awaited, key).shift()
        if (waiting) waiting(copy)
        else at(arrived, key).push(copy)
      },
      async receive(from, tag, into) {
        const key = `${from} ${rank} ${tag}`
        const message = at(arrived, key).shift() ?? (await new Promise<Message>((resolve) => at(awaited, key).push(resolve)))
        if (message.length !== into.length) throw new Error(`${key}: ${message.length} numbers, expected ${into.length}`)
        into.set(message)
      },
    }),
  )
}
