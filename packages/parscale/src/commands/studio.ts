/** `parscale studio`: a page that shows streams, law, price and training, with the API behind it. */
import { join, resolve } from 'node:path'
import { type Command, Option } from '@commander-js/extra-typings'
import { cacheFolder } from '../load/find-model.ts'
import { packageVersion } from '../package-files.ts'
import { nameModels } from '../serve/model-names.ts'
import { serve } from '../serve/serve.ts'
import { exportStudio } from '../studio/export-studio.ts'
import { requirePage } from '../studio/pages.ts'
import { studioBeside } from '../studio/studio-app.ts'
import type { Io } from '../terminal/io.ts'
import { integer, loadOptions, withModel } from './options.ts'

const examples = `
Examples:
  parscale studio                            the model that ships
  parscale studio ./model.gguf --bits 8
  parscale studio ./model --runs ./runs      with the training runs of a folder
  parscale studio --export ./page            the page alone, for any web host, with recorded traces

The page and the API are on one address of this machine; nothing is fetched from elsewhere.`

const withOptions = (command: Command) =>
  withModel(
    command
      .argument('[models...]', '[NAME=]MODEL: folder, .gguf file, ORG/NAME or s3://BUCKET/KEY')
      .addOption(new Option('--port <n>', '0 takes any that is free').argParser(integer(0, 65_535)).default(8181))
      .addOption(new Option('--runs <folder>', 'training runs to show, and where new ones are written').default('runs'))
      .addOption(new Option('--export <folder>', 'write the page and recorded traces there, and end')),
  )

export function register(command: Command, io: Io): void {
  withOptions(command)
    .addHelpText('after', examples)
    .action(async (given, flags) => {
      await requirePage()
      const models = nameModels(given)
      const load = loadOptions(io, flags)
      if (flags.export !== undefined) {
        await exportStudio(flags.export, { models, load, env: io.env, say: (line) => io.stderr(`${line}\n`), signal: io.signal })
        return
      }
      const runs = resolve(flags.runs)
      await serve({
        ...{ host: '127.0.0.1', port: flags.port, models, load, drainMs: 3000, version: packageVersion(), signal: io.signal },
        scheduling: { maxRows: 64, keptBytes: 256 * 2 ** 20 },
        limits: {},
        // Models that are dropped have gigabytes, and only this machine can send them.
        requestMs: 3_600_000,
        policy: { p: flags.p },
        say: (line) => io.detail?.(`${line}\n`),
        log: () => {},
        onListen: (url) => io.stdout(welcome(url)),
        beside: (registry) =>
          studioBeside(registry, { models, load, runs, dropped: join(cacheFolder(io.env), 'studio'), env: io.env }),
      })
    })
}

const welcome = (url: string) => `The studio: ${url}

To try:
  ${url}/#/guide   a minute with eight streams
  ${url}/#/play    let P = 1 and P = 8 go on with the same text, and knock out a stream
  ${url}/#/law     drag a point: what are P streams worth in parameters?

Ctrl-C ends it.
`
