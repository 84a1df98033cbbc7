/** All that clients do with a server, for as long as one likes: so that what grows with the number of requests is seen to grow. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const small = join(import.meta.dirname, '../../../models/small')

/** Arguments of a server for this load: three models below `folder`, of which one is freed whenever it is idle, and little to keep. */
export function mixedModels(folder: string): string[] {
  const chat = join(folder, 'chat')
  cpSync(small, chat, { recursive: true })
  const config = join(chat, 'tokenizer_config.json')
  const template =
    '{% if tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.tool_calls %}<tool_call>\n{{ m.tool_calls[0].function | tojson }}\n</tool_call>{% endif %}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}'
  writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, 'utf8')), chat_template: template }))
  return [`a=${small}`, `chat=${chat}`, `rare=${small}`, '--pin', 'a', '--pin', 'chat', '--idle-unload', '1', '--keep-mb', '16']
}

export interface MixedCounts {
  requests: number
  /** Tokens that were generated, as the answers say. */
  tokens: number
  aborted: number
  /** Answers that are none of what was expected. */
  faults: string[]
}

interface Job {
  readonly path: string
  readonly body: object
  readonly status?: number
  /** Leaves after so many events; 0: before the first. */
  readonly leaveAfter?: number
}

const text = { temperature: 0.8, logit_bias: { 0: -100 } }

/** Job i of a client. Prompts and schemas are new each time, so that what is kept by them is seen as well. */
function job(client: number, i: number): Job {
  const seed = client * 1_000_003 + i
  const p = [1, 2, 4, 8][(client + i) % 4]
  const prompt = `Number ${seed} of the people who came to town that day `
  const completion = { ...text, model: 'a', prompt, max_tokens: 32, parscale: { p }, seed }
  const messages = [
    { role: 'system', content: 'You are one of the people.' },
    { role: 'user', content: prompt },
  ]
  const chat = { ...text, model: 'chat', messages, max_tokens: 24, parscale: { p } }
  const schema = {
    type: 'object',
    properties: { [`name${seed}`]: { enum: ['one', 'two'] }, age: { type: 'integer', minimum: 0, maximum: 99 } },
    required: [`name${seed}`, 'age'],
    additionalProperties: false,
  }
  const json = { response_format: { type: 'json_schema', json_schema: { name: 's', schema, strict: true } }, max_tokens: 200 }
  const jobs: Job[] = [
    { path: '/v1/completions', body: completion },
    { path: '/v1/completions', body: { ...completion, stream: true, stream_options: { include_usage: true }, logprobs: 3 } },
    { path: '/v1/chat/completions', body: { ...chat, stream: true, stream_options: { include_usage: true }, stop: ['people'] } },
    { path: '/v1/chat/completions', body: { ...chat, n: 3, logprobs: true, top_logprobs: 2 } },
    { path: '/v1/chat/completions', body: { ...chat, ...json, parscale: { p: 1 } } },
    { path: '/v1/embeddings', body: { model: 'a', input: [prompt, 'another'], encoding_format: 'base64' } },
    { path: '/v1/completions', body: { ...completion, stream: true, max_tokens: 400 }, leaveAfter: 4 },
    { path: '/v1/completions', body: { ...completion, prompt: prompt.repeat(12), stream: true }, leaveAfter: 0 },
    { path: '/v1/responses', body: { ...text, model: 'chat', input: prompt, max_output_tokens: 24, stream: true } },
    { path: '/v1/completions', body: { ...completion, model: 'none' }, status: 404 },
    { path: '/v1/completions', body: { ...completion, prompt: [1, 1e6] }, status: 400 },
    { path: '/tokenize', body: { model: 'a', prompt } },
    // One client alone, so that the model is idle between its turns.
    client === 0 && i % 39 < 13
      ? { path: '/v1/completions', body: { ...completion, model: 'rare' } }
      : { path: '/v1/completions', body: { ...completion, echo: true, logprobs: 1 } },
  ]
  return jobs[i % jobs.length]!
}

/** Clients that ask one thing after another until `ended`. */
export async function mixedLoad(url: string, clients: number, counts: MixedCounts, ended: () => boolean): Promise<void> {
  const ask = async ({ path, body, status = 200, leaveAfter }: Job) => {
    const left = new AbortController()
    counts.requests++
    try {
      if (leaveAfter === 0) setTimeout(() => left.abort(), 10)
      const response = await fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: left.signal,
      })
      let [answer, events] = ['', 0]
      const decoder = new TextDecoder()
      for await (const bytes of response.body!) {
        answer += decoder.decode(bytes, { stream: true })
        if (leaveAfter !== undefined && ++events === leaveAfter) left.abort()
      }
      if (response.status !== status || /"error":\s*\{"message"/.test(answer) !== (status !== 200))
        counts.faults.push(`${path} ${response.status} ${answer.slice(0, 300)}`)
      for (const [, tokens] of answer.matchAll(/"(?:completion|output)_tokens":(\d+)/g)) counts.tokens += Number(tokens)
    } catch (error) {
      if (left.signal.aborted) counts.aborted++
      else counts.faults.push(`${path} ${error}`)
    }
  }
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let i = client; !ended() && counts.faults.length < 20; i++) await ask(job(client, i))
    }),
  )
}

/** Resident memory of a process in bytes. Linux. */
export function residentBytes(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!
  return Number(kib) * 1024
}

/** Processor time that a process has taken, in seconds. Linux. */
export function cpuSeconds(pid: number): number {
  // Behind the name, which may have spaces: the 12th and 13th are user and system time in hundredths.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
