/** Where what a person did is kept between sessions, such as the history of chat: none of it is needed to compute. */
import { join } from 'node:path'
import process from 'node:process'
import envPaths from 'env-paths'

/** XDG_STATE_HOME/parscale, else the platform's folder for logs and state (~/.local/state/parscale on Linux). */
export const stateFolder = (env: NodeJS.ProcessEnv = process.env): string =>
  env.XDG_STATE_HOME ? join(env.XDG_STATE_HOME, 'parscale') : envPaths('parscale', { suffix: '' }).log
