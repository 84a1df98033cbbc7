/**
 * What runs in the frame and in its workers, as text: the frame has an origin of its own that owns nothing, and a content policy without any network,
 * which its workers inherit where they are made of texts, and only there.
 */

/** Of a worker: a Python interpreter with nothing but what it is handed. No module: where there is no origin, one made of a text does not start. */
export const workerSource = `
// What arrives, for whoever waits for it.
const queue = () => {
  const arrived = []
  let wanted
  return {
    put: (message) => {
      if (!wanted) return void arrived.push(message)
      wanted(message)
      wanted = undefined
    },
    take: () => arrived.length > 0 ? Promise.resolve(arrived.shift()) : new Promise((resolve) => { wanted = resolve }),
  }
}

// What the content policy of the frame must keep from whatever runs here, were it to reach all of JavaScript.
const escapes = {
  'fetch what it likes': (url) => fetch(url),
  'ask for what it likes': (url) => new Promise((good, bad) => { const r = new XMLHttpRequest(); r.onload = good; r.onerror = bad; r.open('GET', url); r.send() }),
  'load scripts': (url) => import(url),
  'load scripts at once': async (url) => importScripts(url),
  'open sockets': (url) => new Promise((good, bad) => { const s = new WebSocket(url.replace('http', 'ws')); s.onopen = good; s.onerror = bad; s.onclose = bad; setTimeout(bad, 5000) }),
  'listen to the server': (url) => new Promise((good, bad) => { const s = new EventSource(url); s.onopen = good; s.onerror = bad }),
  'reach what the browser keeps': () => new Promise((good, bad) => { const r = indexedDB.open('parscale'); r.onsuccess = good; r.onerror = bad }),
  'reach files that the browser keeps': () => caches.open('parscale'),
  'make scripts of texts': async () => eval('1'),
}
const tryEscapes = async (url) => {
  const tries = Object.entries(escapes).map(([name, escape]) => Promise.resolve().then(() => escape(url)).then(() => [name], () => []))
  return (await Promise.all(tries)).flat()
}

self.onmessage = async ({ data: { role, urls, wasm, library, info, source, snapshot, memoryBytes, fileBytes, address } }) => {
  if (role === 'escape') return self.postMessage({ escapes: await tryEscapes(address) })
  const texts = queue()
  const messages = queue()
  let port
  self.onmessage = ({ data, ports: [other] }) => {
    if (data.ended) return messages.put({ ended: data.ended })
    port = other
    // The other end is a program's, which may send what it likes: only bytes count.
    port.onmessage = ({ data }) => messages.put({ bytes: data instanceof Uint8Array ? data : null })
    texts.put(data.text)
  }
  const receive = () => messages.take()
  const send = (bytes) => port.postMessage(bytes)
  try {
    // The runtime's own files are here; anything else is nowhere.
    self.fetch = async (path) => String(path).endsWith('.zip') ? new Response(library) : new Response(new Uint8Array(), { headers: { 'content-type': 'application/wasm' } })
    WebAssembly.instantiateStreaming = async (_, imports) => ({ module: wasm, instance: await WebAssembly.instantiate(wasm, imports) })
    const { grow } = WebAssembly.Memory.prototype
    WebAssembly.Memory.prototype.grow = function (pages) {
      if (this.buffer.byteLength + pages * 65536 > memoryBytes) throw new RangeError('out of memory')
      return grow.call(this, pages)
    }
    const [{ loadPyodide }, { default: createPyodideModule }] = await Promise.all([import(urls.loader), import(urls.module)])
    const quiet = () => {}
    const python = await loadPyodide({
      createPyodideModule, indexURL: 'https://runtime.invalid/', jsglobals: {}, stdout: quiet, stderr: quiet, stdin: () => null,
      lockFileContents: { info, packages: {} }, packageBaseUrl: 'https://runtime.invalid/', env: { HOME: '/tmp', PYTHONHASHSEED: '0' },
      ...(role === 'snapshot' && { _makeSnapshot: true }), ...(snapshot && { _loadSnapshot: snapshot }),
    })
    if (role === 'snapshot') return self.postMessage({ snapshot: python.makeMemorySnapshot() })
    // Files lie in this worker's memory and not in Python's, so they have limits of their own.
    const { FS } = python
    const { MEMFS } = FS.filesystems
    const { expandFileStorage, createNode } = MEMFS
    let [bytes, files] = [0, 0]
    MEMFS.expandFileStorage = (node, size) => {
      const before = node.contents ? node.contents.length : 0
      if (bytes + Math.max(0, size - before) > fileBytes) throw new FS.ErrnoError(51)
      expandFileStorage(node, size)
      bytes += (node.contents ? node.contents.length : 0) - before
    }
    MEMFS.createNode = (...args) => {
      if (++files > 1000) throw new FS.ErrnoError(51)
      return createNode(...args)
    }
    python.runPython(source)
    for (const name of ['js', 'pyodide_js']) python.unregisterJsModule(name)
    const main = python.globals.get(role === 'checks' ? 'be_checks' : 'be_program')
    self.postMessage({ loaded: true })
    const result = await main.callPromising(await texts.take(), receive, send)
    self.postMessage(role === 'checks' ? { judgement: result } : { ended: 'closed' })
  } catch (error) {
    const exited = /^(Exit|ExitStatus)$/.test(error?.name) || /SystemExit/.test(error?.message)
    self.postMessage({ ended: exited ? 'exited' : 'broken', text: String(error?.message ?? error) })
  }
}
`

/** Of the frame. A program and its checks have a worker each, in which nothing ran before, and which ends with them. */
export const frameSource = `
onmessage = async ({ data, ports: [port] }) => {
  onmessage = null
  const { loader, module, worker, wasm, library, info, source } = data
  const link = (text) => URL.createObjectURL(new Blob([text], { type: 'text/javascript' }))
  const [urls, script] = [{ loader: link(loader), module: link(module) }, link(worker)]
  const compiled = await WebAssembly.compile(wasm)
  addEventListener('securitypolicyviolation', ({ blockedURI, effectiveDirective }) => port.postMessage({ blocked: effectiveDirective + ' ' + blockedURI }))

  const common = { urls, wasm: compiled, library, info, source, fileBytes: 2 ** 25 }
  /** A worker, and what it says first, or why it says nothing. */
  const start = (job) => {
    const made = new Worker(script)
    const said = new Promise((resolve, reject) => {
      made.onmessage = ({ data }) => data.ended ? reject(new Error(data.text)) : resolve(data)
      made.onerror = (event) => reject(new Error(event.message || 'the worker cannot start'))
    })
    said.catch(() => {})
    made.postMessage({ ...common, ...job })
    return { made, said, memoryBytes: job.memoryBytes, end: () => made.terminate() }
  }
  const once = async (job) => {
    const worker = start(job)
    try {
      return await worker.said
    } finally {
      worker.end()
    }
  }
  const pair = (memoryBytes) => ['program', 'checks'].map((role) => start({ role, snapshot, memoryBytes }))

  // Python as it is once it has started: so that it need not do that for each program.
  let snapshot
  let spare
  const running = new Map()
  // What a program's worker says of its end is not believed beyond these words.
  const ends = {
    exited: ['error', 'failed: the program ended itself'],
    closed: ['error', 'failed: the program closed its connection to the checks'],
    broken: ['killed', 'failed: the interpreter ended'],
  }
  const run = async ({ id, text, checks, milliseconds, memoryBytes, next }) => {
    let clock
    let workers = []
    const end = (answer) => {
      if (!running.delete(id)) return
      clearTimeout(clock)
      for (const worker of workers) worker.end()
      port.postMessage({ id, ...answer })
    }
    running.set(id, () => end({ stopped: true }))
    try {
      snapshot ??= (await once({ role: 'snapshot', memoryBytes })).snapshot
      if (!running.has(id)) return
      const fits = spare?.[0].memoryBytes === memoryBytes
      if (!fits) for (const worker of spare ?? []) worker.end()
      workers = fits ? spare : pair(memoryBytes)
      spare = undefined
      await Promise.all(workers.map(({ said }) => said))
    } catch (error) {
      return end({ refused: error.message })
    }
    if (!running.has(id)) return
    if (next) spare = pair(memoryBytes)
    const [program, judge] = workers.map(({ made }) => made)
    const began = performance.now()
    const seconds = () => (performance.now() - began) / 1000
    const say = ([verdict, result]) => end({ judgement: { verdict, result, seconds: seconds() } })
    clock = setTimeout(() => say(['time', 'timed out']), milliseconds)
    judge.onmessage = ({ data }) => end(data.judgement ? { judgement: { ...JSON.parse(data.judgement), seconds: seconds() } } : { refused: data.text })
    judge.onerror = (event) => end({ refused: event.message })
    const programEnded = (how) => judge.postMessage({ ended: JSON.stringify(ends[how] ?? ends.broken) })
    program.onmessage = ({ data }) => programEnded(data?.ended)
    program.onerror = () => programEnded('broken')
    const { port1, port2 } = new MessageChannel()
    judge.postMessage({ text: JSON.stringify(checks) }, [port1])
    program.postMessage({ text }, [port2])
  }
  const escape = async ({ id, address }) => {
    try {
      port.postMessage({ id, ...(await once({ role: 'escape', address })) })
    } catch (error) {
      port.postMessage({ id, refused: error.message })
    }
  }
  port.onmessage = ({ data }) => data.stop ? running.get(data.stop)?.() : data.address ? escape(data) : run(data)
  port.postMessage({ ready: true })
}
`

/** In a frame without an origin, nothing may be fetched; what runs is in texts. */
export const framePolicy =
  "default-src 'none'; script-src 'unsafe-inline' blob: 'wasm-unsafe-eval'; worker-src blob:; connect-src blob:"
