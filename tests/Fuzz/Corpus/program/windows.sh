#!/bin/sh
exit
