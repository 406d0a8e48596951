using System.Text;
using Launchd.Host.Operators;
using Xunit;

namespace Launchd.Tests.Host;

public sealed class OutputBufferTests
{
    [Fact]
    public void WhatIsWrittenWaits_UntilItWasSent()
    {
        OutputBuffer buffer = new();
        for (int i = 0; i < 3000; i++)
        {
            Write(buffer, $"{i:0000};");
            if (i % 3 == 0)
                buffer.Remove(5);
        }

        Assert.Equal(2000 * 5, buffer.Count);
        Assert.Equal(string.Concat(Enumerable.Range(1000, 2000).Select(i => $"{i:0000};")), Encoding.UTF8.GetString(buffer.Waiting));
    }

    [Fact]
    public void WhatWasBegunIsTakenBack()
    {
        OutputBuffer buffer = new();
        Write(buffer, "whole");
        int before = buffer.Count;
        Write(buffer, "hal");
        buffer.Truncate(before);
        Write(buffer, ".");

        Assert.Equal("whole.", Encoding.UTF8.GetString(buffer.Waiting));
    }

    private static void Write(OutputBuffer buffer, string text)
    {
        Encoding.UTF8.GetBytes(text, buffer.GetSpan(text.Length));
        buffer.Advance(text.Length);
    }
}
