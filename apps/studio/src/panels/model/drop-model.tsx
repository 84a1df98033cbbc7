/** A place to drop a model: it runs in the page, or is sent to the server. */
import { filesOfDrop, type NamedFile } from '@parscale/core/web'
import { useSignal } from '@preact/signals'
import { connection, json, loadInfo, post } from '../../api.ts'
import { pageModel, startPageModel } from '../../page-model.ts'
import { bytes } from '../../streams.ts'
import { Drop, Segments, sentence } from '../../ui.tsx'

type Where = 'page' | 'server'

export function DropModel() {
  const chosen = useSignal<Where>('page')
  const where = connection.value === 'alone' ? 'page' : chosen.value
  const progress = useSignal('')
  const problem = useSignal('')
  const share = useSignal<number | undefined>(undefined)
  const take = async (dropped: Promise<NamedFile[]>) => {
    problem.value = ''
    progress.value = ''
    try {
      const files = await dropped
      const fault = await faultOf(files)
      if (fault) problem.value = fault
      else if (where === 'page') await run(files)
      else await sendAll(files)
    } catch (error) {
      progress.value = ''
      problem.value = `${sentence((error as Error).message).replace(/\.$/, '')}. What was loaded before stays.`
    }
    share.value = undefined
  }
  const run = async (files: readonly NamedFile[]) => {
    const gguf = files.find(({ path }) => /\.gguf$/i.test(path))
    await startPageModel(gguf ? { gguf: gguf.file as File } : { files })
    const now = pageModel.value
    if (now.state === 'ready') progress.value = `${now.info.name} runs in this page: go to the playground.`
    if (now.state === 'failed') progress.value = 'It does not run; “In this page”, above, says why.'
  }
  const sendAll = async (files: readonly NamedFile[]) => {
    const parts = files.filter(({ path }) => wanted.test(path))
    const total = parts.reduce((sum, { file }) => sum + file.size, 0)
    const { name } = await post<{ name: string }>('/studio/models', { name: nameOf(parts), bytes: total })
    let done = 0
    for (const { path, file } of parts) {
      progress.value = `Sending ${path}, ${bytes(file.size)}`
      await send(`/studio/models/${name}/${encodeURIComponent(path)}`, file, (sent) => (share.value = (done + sent) / total))
      done += file.size
    }
    progress.value = 'Loading it'
    const { id } = await post<{ id: string }>(`/studio/models/${name}/load`, {})
    await loadInfo()
    progress.value = `${id} is loaded: choose it in the playground.`
  }
  return (
    <section class="block" aria-labelledby="drop-title">
      <h2 id="drop-title">Another model</h2>
      {connection.value !== 'alone' && (
        <Segments
          label="Where it is to run"
          name="where"
          value={where}
          options={[
            ['page', 'In this page'],
            ['server', 'In the server'],
          ]}
          onChange={(value) => (chosen.value = value)}
        />
      )}
      <Drop label="Choose files" multiple onFiles={(files, drop) => void take(filesOfDrop(drop ?? files))}>
        or drop a .gguf file, or a Hugging Face folder or its files: config.json, tokenizer.json and safetensors
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

  /** Why files are no model, or too large, in words; before any of them is read as a whole. */
  async function faultOf(files: readonly NamedFile[]): Promise<string | undefined> {
    const gguf = files.find(({ path }) => /\.gguf$/i.test(path))
    if (gguf) {
      if (gguf.file.size === 0) return `${gguf.path} is empty: its download or copy was cut off. Fetch it again.`
      const magic = new TextDecoder().decode(await gguf.file.slice(0, 4).arrayBuffer())
      if (magic !== 'GGUF')
        return `${gguf.path} is no GGUF file: it begins with ${JSON.stringify(magic)} instead of "GGUF". Choose a .gguf file, or the files of a Hugging Face folder.`
    } else {
      const has = (name: RegExp) => files.some(({ path }) => name.test(path))
      const some = files.slice(0, 3).map(({ path }) => path)
      if (!has(/\.safetensors$/))
        return `${some.join(', ')}: no model. A model is a .gguf file, or config.json, tokenizer.json and .safetensors together.`
      if (!has(/^config\.json$/)) return 'config.json is missing beside the safetensors; choose the files of the folder together.'
      if (!has(/^tokenizer\.json$/))
        return 'tokenizer.json is missing beside the safetensors; choose the files of the folder together.'
    }
    // The runtime in the page knows its own bounds.
    if (where === 'page') return undefined
    const total = files.reduce((sum, { file }) => sum + file.size, 0)
    const { freeBytes = Infinity } = (await json<{ freeBytes: number }>('/studio/now').catch(() => undefined)) ?? {}
    if (total > freeBytes)
      return `The files have ${bytes(total)}, and ${bytes(freeBytes)} of this machine's memory are free: too large. Nothing was read.`
    return undefined
  }
}

const wanted =
  /^(?:config|generation_config|tokenizer|tokenizer_config)\.json$|^[^/]+(?:\.safetensors(?:\.index\.json)?|\.jinja|\.gguf)$/

const nameOf = (files: readonly NamedFile[]): string =>
  (files.find(({ path }) => /\.gguf$/i.test(path))?.path ?? 'dropped').replace(/\.gguf$/i, '').replace(/[^\w.-]/g, '-')

/** fetch knows no progress of what is sent. */
function send(path: string, file: Blob, onSent: (bytes: number) => void): Promise<void> {
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
