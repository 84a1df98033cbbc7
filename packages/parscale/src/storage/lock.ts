/**
 * One writer for a folder of storage: an object that only one can create (If-None-Match) or take over (If-Match), which its owner
 * renews. The lock of a process of this machine that is gone is taken over at once; another machine's, when it was not renewed.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { usageError } from '@parscale/core/internal'
import { isGone, type Owner, thisProcess } from '@parscale/core/internal/node/disk'
import { type Address, below, nameOf } from './address.ts'
import { type Bucket, isMissing } from './client.ts'
import { codeOf } from './errors.ts'
import { lockName, putOnce } from './manifest.ts'

interface Holder extends Owner {
  readonly id: string
  readonly since: string
  readonly renewed: string
  /** Its owner is done. It stays where what was written has no manifest yet, to say whose that is. */
  readonly released?: boolean
}

export interface LockTimes {
  readonly renewMs: number
  /** Not renewed for so long, a lock is looked at twice, `renewMs` and a bit apart. */
  readonly staleMs: number
}
const usualTimes: LockTimes = { renewMs: 30_000, staleMs: 180_000 }

const mostTries = 5

export class StorageLock {
  readonly #bucket: Bucket
  readonly #key: string
  #holder: Holder
  #etag: string
  #lost = false
  #last: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout

  private constructor(bucket: Bucket, key: string, holder: Holder, etag: string, renewMs: number) {
    this.#bucket = bucket
    this.#key = key
    this.#holder = holder
    this.#etag = etag
    // What fails is tried again at the next turn; who asks isHeld() hears of what is lost.
    this.#timer = setInterval(() => void this.#renew().catch(() => {}), renewMs)
    this.#timer.unref()
  }

  /** @throws usage error where another process is writing there */
  static async take(
    bucket: Bucket,
    address: Address,
    { signal, times = usualTimes }: { signal?: AbortSignal; times?: LockTimes } = {},
  ): Promise<StorageLock> {
    const { key } = below(address, lockName)
    const now = new Date().toISOString()
    const me: Holder = { id: randomUUID(), ...thisProcess(), since: now, renewed: now }
    for (let tries = 1; ; tries++) {
      const found = await readHolder(bucket, key)
      if (found && !(await isFree(bucket, key, found, times, signal))) throw taken(address, found.holder)
      try {
        const etag = await putOnce(bucket, key, encode(me), found ? { replaces: found.etag } : { absent: true })
        // Of two whom an endpoint without conditions lets write, the later one has it.
        if ((await readHolder(bucket, key))?.holder?.id === me.id) return new StorageLock(bucket, key, me, etag, times.renewMs)
      } catch (error) {
        if (codeOf(error) !== 'PreconditionFailed' && !isMissing(error)) throw error
      }
      if (tries === mostTries) throw taken(address, (await readHolder(bucket, key))?.holder)
    }
  }

  /** False once somebody else took the lock over, thinking that its owner was gone. @throws storage error where it cannot be asked */
  async isHeld(): Promise<boolean> {
    await this.#renew()
    return !this.#lost
  }

  /** @param keep leaves a word behind that what lies there is ours, for the next writer */
  async release(keep: boolean): Promise<void> {
    clearInterval(this.#timer)
    await this.#last.catch(() => {})
    if (this.#lost || (await readHolder(this.#bucket, this.#key))?.holder?.id !== this.#holder.id) return
    if (keep) await this.#write({ ...this.#holder, released: true })
    else await this.#bucket.remove(this.#key)
  }

  #renew(): Promise<void> {
    const renewing = this.#last.catch(() => {}).then(() => this.#write({ ...this.#holder, renewed: new Date().toISOString() }))
    this.#last = renewing
    return renewing
  }

  async #write(holder: Holder): Promise<void> {
    if (this.#lost) return
    try {
      this.#etag = await putOnce(this.#bucket, this.#key, encode(holder), { replaces: this.#etag })
      this.#holder = holder
    } catch (error) {
      if (codeOf(error) !== 'PreconditionFailed' && !isMissing(error)) throw error
      const found = await readHolder(this.#bucket, this.#key)
      // An answer that was lost: what is there is an earlier word of ours.
      if (found?.holder?.id === holder.id) this.#etag = found.etag
      else this.#lost = true
    }
  }
}

const encode = (holder: Holder): Uint8Array => new TextEncoder().encode(`${JSON.stringify(holder)}\n`)

async function readHolder(bucket: Bucket, key: string) {
  const found = await bucket.read(key, 2 ** 16)
  return found && { ...found, holder: parse(found.bytes.toString('utf8')) }
}

function parse(text: string): Holder | undefined {
  try {
    const { id, pid, host, place, started, since, renewed, released } = JSON.parse(text)
    const isHolder = typeof id === 'string' && typeof host === 'string' && Number.isSafeInteger(pid) && pid > 0
    return isHolder ? { id, pid, host, place, started, since, renewed, released } : undefined
  } catch {
    return undefined
  }
}

type FoundHolder = NonNullable<Awaited<ReturnType<typeof readHolder>>>

async function isFree(
  bucket: Bucket,
  key: string,
  { holder, etag, modified }: FoundHolder,
  { renewMs, staleMs }: LockTimes,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (holder?.released) return true
  // Of another machine's process there is no file to look at: false.
  if (holder && (await isGone(holder, ''))) return true
  if (holder?.place !== undefined && holder.place === thisProcess().place) return false
  if (modified === undefined || Date.now() - modified.getTime() <= staleMs) return false
  // Our clock may be ahead of the server's.
  await sleep(1.3 * renewMs, undefined, { signal })
  return (await readHolder(bucket, key))?.etag === etag
}

function taken(address: Address, holder: Holder | undefined) {
  const name = nameOf(address)
  const who = holder ? `process ${holder.pid} on ${holder.host} (since ${holder.since})` : 'another process'
  return usageError(`${name}: ${who} is writing there; wait for it, stop it, or choose another --out`, {
    file: name,
    found: holder,
  })
}
