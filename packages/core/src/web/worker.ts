/** The program of the worker that `loadInBrowser` starts, for bundlers that build it as a file of its own. It exports nothing. */
import { type Port, servePort } from './port/serve-port.ts'
import { serveThread, threadName, threadsFrom } from './step/step-threads.ts'

declare const self: Port & Pick<Worker, 'onmessage' | 'postMessage'> & { readonly name: string }

// onnxruntime-web may start its threads over the file that it was bundled into.
if (self.name === threadName) serveThread(self)
else if (!self.name.startsWith('em-pthread')) {
  threadsFrom(location.href)
  servePort(self)
}
