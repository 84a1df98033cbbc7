/** `parscale mcp`: tools of the Model Context Protocol over standard input and output. */
import { type Command, Option } from '@commander-js/extra-typings'
import { ModelRegistry } from '@parscale/core/internal/server'
import { loadTextModel } from '../load/load.ts'
import { nameModels } from '../serve/model-names.ts'
import type { Io } from '../terminal/io.ts'
import { type FlagsOf, loadOptions, seconds, withModel } from './options.ts'

const examples = `
Examples:
  parscale mcp                       the model that ships
  parscale mcp ./model.gguf --bits 8
  parscale mcp chat=./chat-model code=ORG/NAME --idle-unload 600

Programs start it and speak with it over its standard input and output; docs/mcp.md
has what they want to be told. Each MODEL is as for parscale serve, and is loaded
when a tool asks for it.`

const withOptions = (command: Command) =>
  withModel(
    command
      .argument('[models...]', '[NAME=]MODEL: folder, .gguf file, ORG/NAME or s3://BUCKET/KEY')
      .addOption(new Option('--idle-unload <seconds>', 'free the memory of models that nobody uses').argParser(seconds)),
  )

export type McpFlags = FlagsOf<typeof withOptions>

export function register(command: Command, io: Io): void {
  withOptions(command)
    .addHelpText('after', examples)
    .action(async (given, flags) => {
      const models = nameModels(given)
      const registry = new ModelRegistry(
        models.map(({ id, model }) => ({ id, load: () => loadTextModel(model, loadOptions(io, flags)) })),
        flags.idleUnload === undefined ? {} : { idleMs: flags.idleUnload * 1000 },
      )
      const { serveTools } = await import('./mcp/serve-tools.ts')
      try {
        await serveTools({ models, registry, io })
      } finally {
        await registry.close()
      }
    })
}
