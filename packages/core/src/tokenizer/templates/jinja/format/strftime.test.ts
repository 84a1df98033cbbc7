/** Against glibc's strftime through Python: fixtures/templates/strftime.json, made by scripts/templates/make-fixtures.ts. */
import { expect, it } from 'vitest'
import { compileTemplate } from '../../compiled-template.ts'

const write = (format: string, date: Date): string =>
  compileTemplate('{{ strftime_now(format) }}').render({ given: { format } }, () => date).value

it("writes dates as Python's C locale does", () => {
  const date = new Date(2024, 6, 5, 3, 4, 9)
  expect(write('%d %b %Y, %A %B %m %H:%M:%S %a 100%% %Q', date)).toBe('05 Jul 2024, Friday July 07 03:04:09 Fri 100% %Q')
})

it('refuses by name what depends on more than the date', () => {
  expect(() => write('%Ey', new Date())).toThrow("strftime's %Ey is not supported")
})
