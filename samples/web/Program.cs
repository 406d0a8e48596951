// A web application under launchd-cs: one call takes the inherited socket, says READY, drains, and keeps the watchdog content.
// Without a supervisor it listens where ASP.NET's own configuration says.
using Launchd.Client;
using Launchd.Client.Hosting;

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(args);
builder.UseLaunchd();
WebApplication app = builder.Build();

app.MapFallback((HttpRequest request, LaunchdClient launchd) =>
    $"hello from process {Environment.ProcessId}, {launchd.Service ?? "unsupervised"} generation {launchd.Generation ?? 0}: "
        + $"{request.Path}\n");

// Under way while the program drains: it is finished before the process ends.
app.MapGet("/slow", async (HttpContext context, IHostApplicationLifetime lifetime) =>
{
    await context.Response.WriteAsync("begun\n");
    await context.Response.Body.FlushAsync();
    var stopping = new TaskCompletionSource();
    using (lifetime.ApplicationStopping.Register(stopping.SetResult))
        await stopping.Task.WaitAsync(context.RequestAborted);
    await context.Response.WriteAsync("finished\n");
});

app.Run();
