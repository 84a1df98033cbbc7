/** The program of the worker that `loadInBrowser` starts, for bundlers that build it as a file of its own. It exports nothing. */
import { type Port, servePort } from './port/serve-port.ts'

declare const self: Port & { readonly name: string }

// onnxruntime-web may start its threads over the file that it was bundled into.
if (!self.name.startsWith('em-pthread')) servePort(self)
