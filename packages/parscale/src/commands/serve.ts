/** `parscale serve`: models behind the OpenAI API. */
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import { packageVersion } from '../package-files.ts'
import { readKeys } from '../serve/keys.ts'
import { nameModels } from '../serve/model-names.ts'
import { gatherLines } from '../serve/request-log.ts'
import { serve } from '../serve/serve.ts'
import type { Io } from '../terminal/io.ts'
import { collect, type FlagsOf, integer, loadOptions, seconds, withModel } from './options.ts'

const examples = `
Examples:
  parscale serve                     the model that ships, on 127.0.0.1:8080
  parscale serve ./model.gguf --bits 8 --port 9000
  parscale serve chat=./chat-model code=ORG/NAME --idle-unload 600
  PARSCALE_API_KEY=... parscale serve ./model --host 0.0.0.0
  parscale serve ./model --auto-p    fewer streams when many ask at once

Each MODEL is a folder, a .gguf file or a model of the hub that was pulled, with
NAME= before it if requests are to call it otherwise. The first one is loaded at
once, the others when they are asked for. docs/server.md has the endpoints.`

const withOptions = (command: Command) =>
  withModel(
    command
      .argument('[models...]', '[NAME=]MODEL: folder, .gguf file, ORG/NAME or s3://BUCKET/KEY')
      .addOption(new Option('--host <address>', 'address to listen on; others than this machine need keys').default('127.0.0.1'))
      .addOption(new Option('--port <n>', '0 takes any that is free').argParser(integer(0, 65_535)).default(8080))
      .option('--api-key-file <path>', 'keys that open the server, one a line (or one in PARSCALE_API_KEY)')
      .addOption(new Option('--cors <origin>', 'origin of pages that may call, or *; may be repeated').argParser(origins))
      .addOption(new Option('--allow-host <name>', 'a further name of this server; may be repeated').argParser(collect))
      .option('--tls-cert <path>', 'certificate, PEM')
      .option('--tls-key <path>', 'its key, PEM')
      .addOption(new Option('--auto-p', 'choose P by load where a request names none'))
      .addOption(new Option('--p-range <least,most>', 'bounds of P that is chosen by load').argParser(range))
      .addOption(
        new Option('--auto-rows <n>', 'rows that are shared out where P is chosen by load').argParser(integer(1)).default(8),
      )
      .addOption(new Option('--max-rows <n>', 'streams of all requests that run at a time').argParser(integer(1)).default(64))
      .addOption(new Option('--max-queue <n>', 'requests that may wait; others get 503').argParser(integer(1)).default(256))
      .addOption(new Option('--max-body <MB>', 'largest request').argParser(integer(1)).default(4))
      .addOption(new Option('--max-new-tokens <n>', 'longest answer in tokens').argParser(integer(1)))
      .addOption(new Option('--cache-mb <MB>', 'keys and values of the requests that run').argParser(integer(1)))
      .addOption(new Option('--keep-mb <MB>', 'keys and values kept of finished requests').argParser(integer(0)).default(512))
      .addOption(
        new Option('--max-wait <seconds>', 'requests that would wait longer for their first step get 503').argParser(seconds),
      )
      .addOption(
        new Option('--prompt-slowdown <x>', 'prompts of others may make a step so many times as long')
          .argParser(slowdown)
          .default(1.4),
      )
      .addOption(new Option('--chunk <n>', 'most tokens of prompts in a step in which others generate').argParser(integer(1)))
      .addOption(new Option('--idle-unload <seconds>', 'free the memory of models that nobody uses').argParser(seconds))
      .addOption(new Option('--pin <name>', 'a model that stays; may be repeated').argParser(collect))
      .addOption(new Option('--drain <seconds>', 'how long requests may take after SIGTERM').argParser(seconds).default(30))
      .option('--no-log', 'no line for each request'),
  )

type Flags = FlagsOf<typeof withOptions>

export function register(command: Command, io: Io): void {
  withOptions(command)
    .addHelpText('after', examples)
    .action(async (given, flags) => {
      const models = nameModels(given)
      io.finishWithoutReader?.()
      const { maxNewTokens, idleUnload } = flags
      const lines = gatherLines((text) => io.stdout(text))
      await serve({
        ...{
          host: flags.host,
          port: flags.port,
          tls: tlsOf(flags),
          models,
          pinned: flags.pin,
          keys: {
            read: () => readKeys(flags.apiKeyFile, io.env),
            ...(flags.apiKeyFile !== undefined && { file: flags.apiKeyFile }),
          },
          onHangup: io.onHangup,
          origins: flags.cors,
          hosts: flags.allowHost,
        },
        load: loadOptions(io, flags),
        scheduling: {
          maxRows: flags.maxRows,
          keptBytes: flags.keepMb * 2 ** 20,
          promptSlowdown: flags.promptSlowdown,
          ...(flags.chunk !== undefined && { promptTokensBeside: flags.chunk }),
          ...(flags.cacheMb !== undefined && { maxCacheBytes: flags.cacheMb * 2 ** 20 }),
        },
        limits: {
          queue: flags.maxQueue,
          bodyBytes: flags.maxBody * 2 ** 20,
          ...(maxNewTokens !== undefined && { maxTokens: maxNewTokens }),
          ...(flags.maxWait !== undefined && { waitMs: flags.maxWait * 1000 }),
        },
        policy: { p: flags.autoP ? 'auto' : flags.p, range: flags.pRange, autoRows: flags.autoRows },
        ...(idleUnload !== undefined && { idleUnloadMs: idleUnload * 1000 }),
        drainMs: flags.drain * 1000,
        version: packageVersion(),
        signal: io.signal,
        say: (line) => io.stderr(`${line}\n`),
        log: flags.log ? lines.log : () => {},
      }).finally(lines.flush)
    })
}

function slowdown(text: string): number {
  const times = Number(text)
  if (!(times > 1)) throw new InvalidArgumentError('it must be a number above 1, as 1.4.')
  return times
}

function tlsOf({ tlsCert: cert, tlsKey: key }: Flags) {
  if (cert === undefined && key === undefined) return undefined
  if (cert === undefined || key === undefined)
    throw usageError('--tls-cert and --tls-key belong together', { flag: '--tls-cert' })
  return { cert, key }
}

function origins(text: string, before: string[] = []): string[] {
  if (text !== '*' && !(URL.canParse(text) && new URL(text).origin === text))
    throw new InvalidArgumentError(
      'it must be an origin as browsers send it, such as https://app.example or http://localhost:5173, or *.',
    )
  return collect(text, before)
}

function range(text: string): [number, number] {
  const [least, most, ...rest] = text.split(',').map(Number)
  if (rest.length > 0 || !Number.isInteger(least) || !Number.isInteger(most) || least! < 1 || most! < least!)
    throw new InvalidArgumentError('it must be two numbers such as 1,8, the smaller one first.')
  return [least!, most!]
}
