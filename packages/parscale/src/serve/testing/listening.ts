/** Servers of tests: the app with models that are loaded already, behind a real listener. */
import type { TextModel } from '@parscale/core/internal/generation'
import { createServerApp, ModelRegistry, type ServerOptions } from '@parscale/core/internal/server'
import { listen } from '../listen.ts'

export async function listening(models: Readonly<Record<string, TextModel>>, options: Partial<ServerOptions> = {}) {
  const registry = new ModelRegistry(Object.entries(models).map(([id, text]) => ({ id, load: async () => text })))
  const app = createServerApp({ registry, ...options })
  const listener = await listen(app, { host: '127.0.0.1', port: 0 })
  return {
    app,
    registry,
    url: listener.url,
    baseURL: `${listener.url}/v1`,
    /** The models stay. */
    async stop() {
      listener.cut()
      await listener.close()
    },
    async close() {
      await this.stop()
      await registry.close()
    },
  }
}
