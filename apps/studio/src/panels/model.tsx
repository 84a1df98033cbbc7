/** What is loaded, on which machine; and a place to drop a model. */
import { useSignal } from '@preact/signals'
import { connection, info, json, loadInfo, type ModelInfo, post } from '../api.ts'
import { bytes } from '../streams.ts'
import { Drop } from '../ui.tsx'

const states: Readonly<Record<string, string>> = {
  ready: 'loaded',
  loading: 'is being loaded',
  unloaded: 'is loaded when it is asked for',
  failed: 'cannot be loaded',
  unloading: 'is being freed',
}

export function ModelPanel() {
  const about = info.value
  return (
    <div class="panel">
      <div>
        <h1>Model</h1>
        <p class="lead">What is loaded, and where it runs.</p>
      </div>
      <section class="block" aria-labelledby="loaded-title" style={{ minHeight: '260px' }}>
        <h2 id="loaded-title">Loaded</h2>
        {about?.models.map((model) => (
          <ModelCard model={model} key={model.id} />
        ))}
      </section>
      {about && (
        <section class="block" aria-labelledby="machine-title">
          <h2 id="machine-title">{about.static ? 'Recorded on' : 'This machine'}</h2>
          <dl class="stats">
            <Stat name="processor" value={about.machine.cpu} small />
            <Stat name="threads" value={String(about.machine.cores)} />
            <Stat name="memory" value={bytes(about.machine.memoryBytes)} />
            {!about.static && <Stat name="of it free" value={bytes(about.machine.freeBytes)} />}
            <Stat name="system" value={`${about.machine.platform}, Node ${about.machine.node}`} small />
          </dl>
        </section>
      )}
      {connection.value !== 'alone' && <DropModel />}
    </div>
  )
}

function Stat({ name, value, small = false }: { name: string; value: string; small?: boolean }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd style={small ? { fontSize: '14px', letterSpacing: 0, fontWeight: 520 } : {}}>{value}</dd>
    </div>
  )
}

function ModelCard({ model }: { model: ModelInfo }) {
  const { id, state, problem, p, chat, weights, context, family, hidden, layers, heads, kvHeads, vocabulary, bytesPerPosition } =
    model
  return (
    <div class="card block">
      <h3 style={{ color: 'var(--ink)', fontSize: '16px' }}>
        {id} <span style={{ color: 'var(--soft)', fontWeight: 450 }}>{states[state] ?? state}</span>
      </h3>
      {problem && <p class="message">{problem}</p>}
      {state === 'ready' && (
        <dl class="stats">
          <Stat name="streams, P" value={p.join(', ')} />
          <Stat name="weights" value={weights ?? '–'} />
          <Stat name="family" value={family ?? '–'} />
          <Stat name="layers × width" value={`${layers} × ${hidden}`} />
          <Stat name="heads, for keys" value={`${heads}, ${kvHeads}`} />
          <Stat name="vocabulary" value={vocabulary?.toLocaleString('en') ?? '–'} />
          <Stat name="context" value={context?.toLocaleString('en') ?? '–'} />
          <Stat name="a token's keys and values" value={bytesPerPosition ? `${bytes(bytesPerPosition)} a stream` : '–'} />
          <Stat name="conversations" value={chat ? 'yes' : 'no template'} />
        </dl>
      )}
    </div>
  )
}

const wanted = /^(?:config|generation_config|tokenizer|tokenizer_config)\.json$|\.safetensors(?:\.index\.json)?$|\.jinja$|\.gguf$/

function DropModel() {
  const progress = useSignal('')
  const problem = useSignal('')
  const share = useSignal<number | undefined>(undefined)
  const take = async (files: File[]) => {
    problem.value = ''
    share.value = undefined
    const fault = await faultOf(files)
    if (fault) {
      problem.value = fault
      return
    }
    const parts = files.filter(({ name }) => wanted.test(name))
    const name = (parts.find((file) => /\.gguf$/i.test(file.name))?.name ?? 'dropped')
      .replace(/\.gguf$/i, '')
      .replace(/[^\w.-]/g, '-')
    const total = parts.reduce((sum, { size }) => sum + size, 0)
    try {
      let done = 0
      for (const file of parts) {
        progress.value = `Sending ${file.name}, ${bytes(file.size)}`
        await send(
          `/studio/models/${name}/${encodeURIComponent(file.name)}`,
          file,
          (sent) => (share.value = (done + sent) / total),
        )
        done += file.size
      }
      progress.value = 'Loading it'
      const { id } = await post<{ id: string }>(`/studio/models/${name}/load`, {})
      await loadInfo()
      progress.value = `${id} is loaded: choose it in the playground.`
    } catch (error) {
      progress.value = ''
      problem.value = `${(error as Error).message.replace(/\.$/, '')}. What was loaded before stays.`
    }
    share.value = undefined
  }
  return (
    <section class="block" aria-labelledby="drop-title">
      <h2 id="drop-title">Another model</h2>
      <Drop label="Choose files" multiple onFiles={(files) => void take(files)}>
        or drop a .gguf file, or the files of a Hugging Face folder: config.json, tokenizer.json and safetensors
      </Drop>
      <p class="note" role="status" style={{ minHeight: '20px' }}>
        {progress.value}
      </p>
      {share.value !== undefined && <progress value={share.value} max={1} aria-label="Sent" style={{ width: '100%' }} />}
      {problem.value && (
        <p class="message" role="alert">
          {problem.value}
        </p>
      )}
      <p class="note">
        From the command line: <code>parscale studio ./model</code>, or a name of the hub that was pulled.
      </p>
    </section>
  )
}

/** Why files are no model, or too large, in words; before any of them is read as a whole. */
async function faultOf(files: readonly File[]): Promise<string | undefined> {
  const gguf = files.find(({ name }) => /\.gguf$/i.test(name))
  const total = files.reduce((sum, { size }) => sum + size, 0)
  const { freeBytes = Infinity } = (await json<{ freeBytes: number }>('/studio/now').catch(() => undefined)) ?? {}
  if (gguf) {
    const magic = new TextDecoder().decode(await gguf.slice(0, 4).arrayBuffer())
    if (magic !== 'GGUF') return `${gguf.name} is no GGUF file: it begins with ${JSON.stringify(magic)} instead of "GGUF".`
  } else {
    const has = (name: RegExp) => files.some((file) => name.test(file.name))
    if (!has(/\.safetensors$/))
      return `${files
        .map(({ name }) => name)
        .slice(0, 3)
        .join(', ')}: no model. A model is a .gguf file, or config.json, tokenizer.json and .safetensors together.`
    if (!has(/^config\.json$/)) return 'config.json is missing beside the safetensors; choose the files of the folder together.'
    if (!has(/^tokenizer\.json$/))
      return 'tokenizer.json is missing beside the safetensors; choose the files of the folder together.'
  }
  if (total > freeBytes)
    return `The files have ${bytes(total)}, and ${bytes(freeBytes)} of this machine's memory are free: too large. Nothing was read.`
  return undefined
}

/** fetch knows no progress of what is sent. */
function send(path: string, file: File, onSent: (bytes: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('PUT', new URL(`.${path}`, document.baseURI))
    request.upload.onprogress = ({ loaded }) => onSent(loaded)
    request.onload = () => {
      if (request.status < 300) return resolve()
      let message = `the server answered with ${request.status}`
      try {
        message = JSON.parse(request.responseText).error.message
      } catch {
        // Its number will do.
      }
      reject(new Error(message))
    }
    request.onerror = () => reject(new Error('the server went away while the file was sent'))
    request.send(file)
  })
}
