/** Charts on the terminal or in a file: SVG by ourselves, PNG through @resvg/resvg-js where it is installed. */
import { stat } from 'node:fs/promises'
import { dirname, extname } from 'node:path'
import { InvalidArgumentError, Option } from '@commander-js/extra-typings'
import { unsupportedError, usageError } from '@parscale/core/internal'
import { type Chart, renderSvg, renderTerminal } from '@parscale/core/internal/law'
import { writeWholeFile } from '@parscale/core/internal/node/disk'
import { type Io, report } from './io.ts'

export const plotOption = new Option('--plot <file>', 'draw into a .svg or .png file').argParser((file) => {
  if (!['.svg', '.png'].includes(extname(file).toLowerCase()))
    throw new InvalidArgumentError('expected a file that ends in .svg or .png.')
  return file
})

/** Wider pictures are not easier to read. */
const widestPicture = 78

/** Fits the width of the terminal; in a pipe it is as wide as a usual one. */
export function drawInTerminal(io: Io, chart: Chart): void {
  report(io, `\n${renderTerminal(chart, Math.min(widestPicture, io.columns ?? widestPicture))}`)
}

/**
 * @param columns panels side by side
 * @throws usage error where the file cannot be written; unsupported error for .png without the package
 */
export async function drawInFile(io: Io, file: string, charts: readonly Chart[], columns = 1): Promise<void> {
  // A misspelt folder is not made.
  const folder = await stat(dirname(file)).catch(() => undefined)
  if (!folder?.isDirectory())
    throw usageError(`--plot ${file}: there is no folder ${dirname(file)}; make it, or choose another path`, { flag: '--plot' })
  const svg = renderSvg(charts, columns)
  const content = extname(file).toLowerCase() === '.png' ? await toPng(svg) : svg
  await writeWholeFile(file, content, { full: 'free some space', denied: 'choose another path', flag: 'plot' })
  io.stderr(`drawn into ${file}\n`)
}

async function toPng(svg: string): Promise<Uint8Array> {
  let library: typeof import('@resvg/resvg-js')
  try {
    library = await import('@resvg/resvg-js')
  } catch (cause) {
    throw unsupportedError(
      '--plot: PNG needs the optional package @resvg/resvg-js (npm install @resvg/resvg-js); or choose a name that ends in .svg',
      { flag: '--plot', cause },
    )
  }
  return new library.Resvg(svg, { fitTo: { mode: 'zoom', value: 2 } }).render().asPng()
}
