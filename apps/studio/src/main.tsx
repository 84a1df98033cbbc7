/** The studio: starts the page. */
import { render } from 'preact'
import { loadInfo } from './api.ts'
import { keepFocus } from './focus.ts'
import { Shell } from './shell.tsx'
import './style.css'
import { apply } from './theme.ts'

apply()
keepFocus()
// A file that misses its place would be opened in place of this page, and all that is in it be gone.
for (const type of ['dragover', 'drop'] as const)
  addEventListener(type, (event) => {
    if (event.defaultPrevented || !event.dataTransfer?.types.includes('Files')) return
    event.preventDefault()
    event.dataTransfer.dropEffect = 'none'
  })
void loadInfo()
render(<Shell />, document.getElementById('app')!)
