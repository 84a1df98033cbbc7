import { expect, it } from 'vitest'
import { judgeInBrowser } from './judge-in-browser.ts'

it('judges nothing outside of a page, and nothing without being allowed to', async () => {
  const judge = (allowCode: boolean) => judgeInBrowser(new Map(), [], { allowCode, runtimeFiles: '/pyodide/' }).next()
  await expect(judge(true)).rejects.toThrow('needs a page; in Node there is `parscale judge`')
  await expect(judge(false)).rejects.toThrow('set allowCode')
})
