/** What a model wrote, as Markdown. It may be hostile: only what marks up text is left of it. */
import { useEffect, useState } from 'preact/hooks'

type Render = (text: string) => string
let loading: Promise<Render> | undefined

async function load(): Promise<Render> {
  const [{ marked }, { default: purify }] = await Promise.all([import('marked'), import('dompurify')])
  return (text) =>
    purify.sanitize(marked.parse(text, { async: false, gfm: true, breaks: true }), {
      // No pictures, frames or forms: nothing that asks an address of the model's choice, and no styles.
      ALLOWED_TAGS: [
        'p',
        'br',
        'strong',
        'em',
        'del',
        'code',
        'pre',
        'ul',
        'ol',
        'li',
        'blockquote',
        'h1',
        'h2',
        'h3',
        'h4',
        'h5',
        'h6',
        'hr',
        'table',
        'thead',
        'tbody',
        'tr',
        'th',
        'td',
        'a',
      ],
      ALLOWED_ATTR: ['href'],
      ALLOWED_URI_REGEXP: /^https?:/i,
    })
}

export function Markdown({ text }: { text: string }) {
  const [render, setRender] = useState<Render>()
  useEffect(() => {
    loading ??= load()
    loading.then((found) => setRender(() => found)).catch(() => {})
  }, [])
  return render ? (
    <div dangerouslySetInnerHTML={{ __html: render(text) }} />
  ) : (
    <div style={{ whiteSpace: 'pre-wrap' }}>{text}</div>
  )
}
