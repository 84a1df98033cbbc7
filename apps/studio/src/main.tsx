/** The studio: starts the page. */
import { render } from 'preact'
import { loadInfo } from './api.ts'
import { Shell } from './shell.tsx'
import './style.css'
import { apply } from './theme.ts'

apply()
void loadInfo()
render(<Shell />, document.getElementById('app')!)
