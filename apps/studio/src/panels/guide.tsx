export function Guide() { return <div class="panel"><h1>Guide</h1></div> }
