/** Where the model runs, as a line of a panel: with the server, as it was recorded, or here; and how to change that. */
import { connection, inPage, isRecorded } from './api.ts'
import { pageModel, progressWords, runsWords, startPageModel, stopPageModel } from './page-model.ts'

/** @param model the id of the one that is asked; default: the page's own where there is one */
export function PageModelBar({ model }: { model?: string | undefined }) {
  const now = pageModel.value
  const isPage = inPage.value !== undefined && (model === undefined || model === inPage.value.about.id)
  return (
    <div class="runs" role="group" aria-label="Where it runs">
      <span class="note" role="status">
        {now.state === 'ready' && isPage
          ? `Runs in this page, without a server: ${runsWords(now.info)}.`
          : now.state === 'loading'
            ? `${progressWords(now.progress).words} …`
            : isRecorded()
              ? 'Recorded: there is no server.'
              : connection.value === 'gone'
                ? 'The server does not answer.'
                : 'Runs in the server.'}
      </span>
      {now.state === 'loading' && (
        <progress value={progressWords(now.progress).share ?? undefined} max={1} aria-label="Loading the model into this page" />
      )}
      {now.state === 'loading' || inPage.value ? (
        <button type="button" class="quiet" onClick={stopPageModel}>
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
          {now.problem}
        </p>
      )}
    </div>
  )
}
