/** The OpenAI API as a function from Request to Response, for any listener, worker or page. A promised subpath: names come and go with major versions only. */
export { createServerApp, ModelRegistry, type ServerApp, type ServerOptions } from '../server/index.ts'
