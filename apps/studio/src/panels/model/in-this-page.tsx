/** The model that runs in the page: what runs it and why, what did not go as wished, and what the browser keeps. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { inPage } from '../../api.ts'
import {
  type Device,
  deleteKept,
  device,
  type Kept,
  keptModels,
  pageModel,
  restartPageModel,
  startPageModel,
} from '../../page-model.ts'
import { PageModelBar } from '../../page-model-bar.tsx'
import { bytes } from '../../streams.ts'
import { Button, Segments } from '../../ui.tsx'
import { ModelCard } from './model-card.tsx'

const tests = {
  'known tokens': 'the eight tokens it is known to write',
  'other backend': 'eight tokens, as WASM computes them too',
  'finite logits': 'eight tokens, one by one as in one pass',
}

export function InThisPage() {
  const now = pageModel.value
  return (
    <section class="block" aria-labelledby="page-title">
      <h2 id="page-title">In this page</h2>
      <p class="note">
        The same model can run in the browser: its files are fetched once and kept, and from then on no server and no network is
        needed.
      </p>
      <Segments
        label="Backend"
        name="device"
        value={device.value}
        options={[
          ['auto', 'The best that works'],
          ['webgpu', 'WebGPU'],
          ['wasm', 'WASM'],
        ]}
        onChange={(value: Device) => {
          device.value = value
          if (now.state !== 'none') void restartPageModel()
        }}
      />
      <PageModelBar />
      {inPage.value && <ModelCard model={inPage.value.about} />}
      {now.state === 'ready' && (
        <>
          <p class="note">
            {now.info.why} Self-test: {tests[now.info.selfTest]}.
          </p>
          {now.info.notes.map((note) => (
            <p class="message fine" key={note}>
              {note}
            </p>
          ))}
        </>
      )}
      <KeptModels />
    </section>
  )
}

function KeptModels() {
  const kept = useSignal<Kept | undefined>(undefined)
  const said = useSignal('')
  const look = () =>
    keptModels().then(
      (found) => (kept.value = found),
      // Without a file system there is nothing to list.
      () => {},
    )
  useEffect(() => void look(), [pageModel.value.state])
  const remove = async (key: string, name: string) => {
    try {
      await deleteKept(key)
      said.value = `${name} is deleted.`
    } catch (error) {
      said.value = `${name} cannot be deleted (${(error as Error).message}): another page uses it. Close that one, and try again.`
    }
    await look()
  }
  const words = (
    <p class="note" role="status">
      {said.value}
    </p>
  )
  if (!kept.value || kept.value.models.length === 0) return words
  return (
    <>
      {words}
      <div class="scroll" tabIndex={0} role="region" aria-label="Kept in this browser">
        <table>
          <caption>
            Kept in this browser: {bytes(kept.value.usedBytes)} of the {bytes(kept.value.quotaBytes)} that it allows
          </caption>
          <tbody>
            {kept.value.models.map(({ key, name, bytes: size, complete }) => (
              <tr key={key}>
                <th scope="row">{short(name)}</th>
                <td>
                  {bytes(size)}
                  {complete ? '' : ', cut off'}
                </td>
                <td>
                  <Button
                    class="quiet"
                    aria-label={`Run ${short(name)}`}
                    disabled={!complete}
                    onClick={() => void startPageModel({ kept: key })}
                  >
                    Run
                  </Button>
                  <Button class="quiet" aria-label={`Delete ${short(name)}`} onClick={() => void remove(key, short(name))}>
                    Delete
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  )
}

const short = (name: string): string => (name.startsWith(new URL('.', document.baseURI).href) ? 'the model of this page' : name)
