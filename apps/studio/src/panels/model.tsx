export function ModelPanel() { return <div class="panel"><h1>ModelPanel</h1></div> }
