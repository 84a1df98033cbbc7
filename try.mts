import { join } from 'node:path'
import { bundlePage, launch, openPage, serveSite } from './test/support/browser.ts'
import { root } from './test/support/markdown.ts'
const folder = await bundlePage(`
    import { loadInBrowser, keptModels, deleteKeptModel } from '@parscale/core/web'
    Object.assign(globalThis, { loadInBrowser, keptModels, deleteKeptModel, ready: true })`)
const site = await serveSite(folder, { '/models/small/': join(root, 'packages/parscale/models/small') }, { isolated: true })
const browser = await launch()
const { page, errors } = await openPage(browser, site)
page.on('console', (m) => console.log('console', m.text()))
const code = (await import('node:fs')).readFileSync(process.argv[2]!, 'utf8')
try { console.log(JSON.stringify(await page.evaluate(`(async () => { ${code} })().catch(e => ({error: String(e), stack: e.stack}))`), null, 1)) } catch (e) { console.log(e) }
console.log(errors)
await browser.close(); await site.close()
process.exit(0)
