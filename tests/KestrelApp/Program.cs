// An ASP.NET program that knows nothing of launchd-cs: Kestrel takes the descriptors that LISTEN_PID and LISTEN_FDS name.
WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(args);
builder.WebHost.ConfigureKestrel(options => options.UseSystemd());
WebApplication app = builder.Build();
app.MapFallback((HttpContext context) => $"kestrel says {context.Request.Path}\n");
app.Run();
