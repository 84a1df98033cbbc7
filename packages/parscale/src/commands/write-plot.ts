/** Charts into a file: SVG by ourselves, PNG through @resvg/resvg-js where it is installed. */
import { writeFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { unsupportedError, usageError } from '@parscale/core'
import { type Chart, renderSvg } from '@parscale/core/law'

interface Resvg {
  readonly Resvg: new (svg: string, options: { fitTo: { mode: 'zoom'; value: number } }) => { render(): { asPng(): Uint8Array } }
}

/** @throws usage error for another ending than .svg and .png; unsupported error for .png without the package */
export async function writePlot(file: string, charts: readonly Chart[]): Promise<void> {
  const svg = renderSvg(charts)
  switch (extname(file).toLowerCase()) {
    case '.svg':
      return writeFile(file, svg)
    case '.png':
      return writeFile(file, await toPng(svg))
    default:
      throw usageError(`--plot: expected a file that ends in .svg or .png, got ${file}`, { flag: '--plot', found: file })
  }
}

async function toPng(svg: string): Promise<Uint8Array> {
  const name: string = '@resvg/resvg-js' // not a dependency: a variable keeps the compiler from looking for it
  let library: Resvg
  try {
    library = (await import(name)) as Resvg
  } catch (cause) {
    throw unsupportedError(`--plot: PNG needs the package ${name} (npm install ${name}); or choose a name that ends in .svg`, {
      flag: '--plot',
      cause,
    })
  }
  return new library.Resvg(svg, { fitTo: { mode: 'zoom', value: 2 } }).render().asPng()
}
