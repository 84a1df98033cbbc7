export function Price() { return <div class="panel"><h1>Price</h1></div> }
