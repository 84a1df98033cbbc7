/** Where the model runs, as a line of a panel: with the server, as it was recorded, or here; and how to change that. */
import { connection, inPage, isRecorded, trouble } from './api.ts'
import { pageModel, progressWords, startPageModel, stopLoading, stopPageModel } from './page-model.ts'
import { sentence } from './ui.tsx'

/** @param model the id of the one that is asked; default: the page's own where there is one */
export function PageModelBar({ model }: { model?: string | undefined }) {
  const now = pageModel.value
  const isPage = inPage.value !== undefined && (model === undefined || model === inPage.value.about.id)
  return (
    <div class="runs" role="group" aria-label="Where it runs">
      {/* Bytes that are counted up are not read out: that is the bar's. */}
      <span class="note" role="status" aria-live={now.state === 'loading' ? 'off' : 'polite'}>
        {now.state === 'loading'
          ? `${progressWords(now.progress).words} …`
          : inPage.value && isPage
            ? `Runs in this page, without a server: ${inPage.value.runs}.`
            : isRecorded()
              ? 'Recorded: there is no server.'
              : connection.value === 'gone'
                ? `${sentence(trouble.value)}.`
                : 'Runs in the server.'}
      </span>
      {now.state === 'loading' && (
        <progress value={progressWords(now.progress).share ?? undefined} max={1} aria-label="Loading the model into this page" />
      )}
      {now.state === 'loading' || inPage.value ? (
        <button type="button" class="quiet" onClick={now.state === 'loading' ? stopLoading : stopPageModel}>
          {now.state === 'loading'
            ? 'Cancel'
            : connection.value === 'alone'
              ? 'Back to the recorded texts'
              : 'Back to the server'}
        </button>
      ) : (
        <button type="button" class="quiet" onClick={() => void startPageModel()}>
          Run it in this page
        </button>
      )}
      {now.state === 'failed' && (
        <p class="message" role="alert">
          {sentence(now.problem)}
          {inPage.value && '. What ran before still runs.'}
        </p>
      )}
    </div>
  )
}
