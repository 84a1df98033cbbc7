export function Training() { return <div class="panel"><h1>Training</h1></div> }
